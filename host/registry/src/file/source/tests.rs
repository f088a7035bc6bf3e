use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use handler_host_core::{ModuleSource, ModuleLocation};

use super::*;
use crate::{Access, fetch, follow};

const DEADLINE: Duration = Duration::from_secs(20);

/// So seldom that what is noticed in time was heard of.
const NEVER: Duration = Duration::from_secs(3600);

struct Folder {
    folder: tempfile::TempDir,
}

type Modules = Pin<Box<dyn Stream<Item = Result<Fetched, FetchError>> + Send>>;

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn write(&self, below: &str, text: &str) {
        fs::write(self.at(below), text).unwrap();
    }

    fn source(&self, below: &str, pinned: Option<&str>) -> ModuleSource {
        ModuleSource {
            place: ModuleLocation::File(self.at(below)),
            pinned: pinned.map(|text| Digest::of(text.as_bytes())),
        }
    }

    fn follow(&self, below: &str) -> Modules {
        self.follow_pinned(below, None, NEVER)
    }

    fn follow_pinned(&self, below: &str, pinned: Option<&str>, look: Duration) -> Modules {
        let mut access = Access::default();
        access.patience.look = look;
        Box::pin(follow(self.source(below, pinned), access))
    }
}

/// What comes next, as text.
async fn next(modules: &mut Modules) -> Result<String, String> {
    let module = timeout(DEADLINE, modules.next()).await.unwrap().unwrap();
    let text = |module: Fetched| String::from_utf8(module.bytes.to_vec()).unwrap();
    module.map(text).map_err(|error| error.to_string())
}

async fn next_error(modules: &mut Modules) -> String {
    next(modules).await.unwrap_err()
}

#[tokio::test]
async fn a_file_renamed_into_place_is_read_anew() {
    let folder = Folder::new();
    folder.write("evc.wasm", "one");
    let mut modules = folder.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    for text in ["two", "six", "ten"] {
        folder.write("new", text);
        fs::rename(folder.at("new"), folder.at("evc.wasm")).unwrap();
        assert_eq!(next(&mut modules).await.unwrap(), text);
    }
}

#[tokio::test]
async fn a_file_written_in_place_is_read_anew_when_it_is_whole() {
    let folder = Folder::new();
    folder.write("evc.wasm", "one");
    let mut modules = folder.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    let mut file = File::options()
        .write(true)
        .open(folder.at("evc.wasm"))
        .unwrap();
    file.write_all(b"tw").unwrap();
    let writer = tokio::spawn(async move {
        // Shorter than what counts as quiet.
        let mut beat = tokio::time::interval(Duration::from_millis(30));
        beat.tick().await;
        beat.tick().await;
        file.rewind().unwrap();
        file.write_all(b"two").unwrap();
    });
    assert_eq!(next(&mut modules).await.unwrap(), "two");
    writer.await.unwrap();
}

/// As kubelet does with a ConfigMap or Secret that is mounted.
fn flip(folder: &Folder, version: &str, text: &str) {
    fs::create_dir_all(folder.at(version)).unwrap();
    folder.write(&format!("{version}/evc.wasm"), text);
    let before = fs::read_link(folder.at("..data")).ok();
    symlink(version, folder.at("..data_tmp")).unwrap();
    fs::rename(folder.at("..data_tmp"), folder.at("..data")).unwrap();
    match before {
        Some(before) => fs::remove_dir_all(folder.at(before.to_str().unwrap())).unwrap(),
        None => symlink("..data/evc.wasm", folder.at("evc.wasm")).unwrap(),
    }
}

#[tokio::test]
async fn a_mounted_volume_that_is_flipped_is_read_anew() {
    let folder = Folder::new();
    flip(&folder, "..2024_1", "one");
    let mut modules = folder.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    for (version, text) in [
        ("..2024_2", "two"),
        ("..2024_3", "six"),
        ("..2024_1", "ten"),
    ] {
        flip(&folder, version, text);
        assert_eq!(next(&mut modules).await.unwrap(), text);
    }
}

#[tokio::test]
async fn a_file_that_went_is_an_error_and_loads_by_itself_when_it_returns() {
    let folder = Folder::new();
    folder.write("evc.wasm", "one");
    let mut modules = folder.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    fs::remove_file(folder.at("evc.wasm")).unwrap();
    let error = next_error(&mut modules).await;
    assert!(
        error.contains("evc.wasm cannot be read: there is no such file"),
        "{error}"
    );
    folder.write("evc.wasm", "one");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
}

#[tokio::test]
async fn directories_that_are_not_there_yet_are_waited_for() {
    let folder = Folder::new();
    let mut modules = folder.follow("not/yet/evc.wasm");
    next_error(&mut modules).await;
    fs::create_dir(folder.at("not")).unwrap();
    fs::create_dir(folder.at("not/yet")).unwrap();
    folder.write("not/yet/evc.wasm", "one");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    // Another directory of that name, perhaps with the inode of the one before.
    fs::remove_dir_all(folder.at("not")).unwrap();
    next_error(&mut modules).await;
    fs::create_dir_all(folder.at("not/yet")).unwrap();
    folder.write("not/yet/evc.wasm", "two");
    assert_eq!(next(&mut modules).await.unwrap(), "two");
}

#[tokio::test]
async fn a_module_that_is_not_the_pinned_one_is_refused() {
    let folder = Folder::new();
    folder.write("evc.wasm", "one");
    let mut modules = folder.follow_pinned("evc.wasm", Some("two"), NEVER);
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    let error = next_error(&mut modules).await;
    assert!(
        error.contains(&format!("holds {one}, but {two} is pinned")),
        "{error}"
    );
    folder.write("evc.wasm", "two");
    assert_eq!(next(&mut modules).await.unwrap(), "two");
}

#[tokio::test]
async fn a_change_that_nobody_tells_of_is_found_by_looking() {
    let folder = Folder::new();
    for directory in ["a/deep", "b/deep"] {
        fs::create_dir_all(folder.at(directory)).unwrap();
    }
    folder.write("a/deep/evc.wasm", "one");
    folder.write("b/deep/evc.wasm", "two");
    let mut modules = folder.follow_pinned("a/deep/evc.wasm", None, Duration::from_millis(200));
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    // In a directory that no link and not the file is in.
    fs::rename(folder.at("a"), folder.at("c")).unwrap();
    fs::rename(folder.at("b"), folder.at("a")).unwrap();
    let mut told = next(&mut modules).await;
    if told.is_err() {
        told = next(&mut modules).await;
    }
    assert_eq!(told.unwrap(), "two");
}

#[tokio::test]
async fn what_is_no_file_is_refused_without_opening_it() {
    let folder = Folder::new();
    fs::create_dir(folder.at("evc.wasm")).unwrap();
    let told = |outcome: Result<Fetched, FetchError>| outcome.unwrap_err().to_string();
    let access = Access::default();
    let error = told(fetch(&folder.source("evc.wasm", None), &access).await);
    assert!(error.contains("it is a directory"), "{error}");
    let null = ModuleSource {
        place: ModuleLocation::File("/dev/null".into()),
        pinned: None,
    };
    let error = told(fetch(&null, &access).await);
    assert!(error.contains("it is no regular file"), "{error}");
}

#[tokio::test]
async fn a_file_larger_than_any_module_is_refused_unread() {
    let folder = Folder::new();
    let file = File::create(folder.at("evc.wasm")).unwrap();
    file.set_len(LARGEST + 1).unwrap();
    let mut modules = folder.follow("evc.wasm");
    let error = next_error(&mut modules).await;
    assert!(error.contains("is larger than 256 MiB"), "{error}");
    folder.write("evc.wasm", "one");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
}

#[tokio::test]
async fn a_file_that_is_only_touched_is_no_news() {
    let folder = Folder::new();
    folder.write("evc.wasm", "one");
    let mut modules = folder.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    fs::set_permissions(folder.at("evc.wasm"), fs::Permissions::from_mode(0o600)).unwrap();
    folder.write("evc.wasm", "one");
    let silence = timeout(Duration::from_millis(400), modules.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    folder.write("evc.wasm", "two");
    assert_eq!(next(&mut modules).await.unwrap(), "two");
}
