use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use handler_host_core::{Digest, FetchedModule, ModuleLocation, ModuleSource};
use tokio::time::timeout;

use crate::{Access, FetchError, LARGEST, fetch, follow};

const DEADLINE: Duration = Duration::from_secs(20);

/// So long that a change which is noticed before the deadline was reported by the watch.
const NEVER: Duration = Duration::from_secs(3600);

struct SourceDirectory {
    directory: tempfile::TempDir,
}

type ModuleStream = Pin<Box<dyn Stream<Item = Result<FetchedModule, FetchError>> + Send>>;

impl SourceDirectory {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn write(&self, below: &str, text: &str) {
        fs::write(self.at(below), text).unwrap();
    }

    fn source(&self, below: &str, pinned: Option<&str>) -> ModuleSource {
        ModuleSource {
            location: ModuleLocation::File(self.at(below)),
            pinned: pinned.map(|text| Digest::of(text.as_bytes())),
        }
    }

    fn follow(&self, below: &str) -> ModuleStream {
        self.follow_pinned(below, None, NEVER)
    }

    fn follow_pinned(&self, below: &str, pinned: Option<&str>, look: Duration) -> ModuleStream {
        let mut access = Access::default();
        access.patience.look = look;
        Box::pin(follow(self.source(below, pinned), access))
    }
}

/// What comes next, as text.
async fn next(modules: &mut ModuleStream) -> Result<String, String> {
    let module = timeout(DEADLINE, modules.next()).await.unwrap().unwrap();
    let text = |module: FetchedModule| String::from_utf8(module.bytes.to_vec()).unwrap();
    module.map(text).map_err(|error| error.to_string())
}

async fn next_error(modules: &mut ModuleStream) -> String {
    next(modules).await.unwrap_err()
}

#[tokio::test]
async fn a_file_renamed_into_place_is_read_anew() {
    let directory = SourceDirectory::new();
    directory.write("evc.wasm", "one");
    let mut modules = directory.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    for text in ["two", "six", "ten"] {
        directory.write("new", text);
        fs::rename(directory.at("new"), directory.at("evc.wasm")).unwrap();
        assert_eq!(next(&mut modules).await.unwrap(), text);
    }
}

#[tokio::test]
async fn a_file_written_in_place_is_read_anew_when_it_is_whole() {
    let directory = SourceDirectory::new();
    directory.write("evc.wasm", "one");
    let mut modules = directory.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    let mut file = File::options()
        .write(true)
        .open(directory.at("evc.wasm"))
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
fn flip(directory: &SourceDirectory, version: &str, text: &str) {
    fs::create_dir_all(directory.at(version)).unwrap();
    directory.write(&format!("{version}/evc.wasm"), text);
    let before = fs::read_link(directory.at("..data")).ok();
    symlink(version, directory.at("..data_tmp")).unwrap();
    fs::rename(directory.at("..data_tmp"), directory.at("..data")).unwrap();
    match before {
        Some(before) => fs::remove_dir_all(directory.at(before.to_str().unwrap())).unwrap(),
        None => symlink("..data/evc.wasm", directory.at("evc.wasm")).unwrap(),
    }
}

#[tokio::test]
async fn a_mounted_volume_that_is_flipped_is_read_anew() {
    let directory = SourceDirectory::new();
    flip(&directory, "..2024_1", "one");
    let mut modules = directory.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    for (version, text) in [
        ("..2024_2", "two"),
        ("..2024_3", "six"),
        ("..2024_1", "ten"),
    ] {
        flip(&directory, version, text);
        assert_eq!(next(&mut modules).await.unwrap(), text);
    }
}

#[tokio::test]
async fn a_file_that_went_is_an_error_and_loads_by_itself_when_it_returns() {
    let directory = SourceDirectory::new();
    directory.write("evc.wasm", "one");
    let mut modules = directory.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    fs::remove_file(directory.at("evc.wasm")).unwrap();
    let error = next_error(&mut modules).await;
    assert!(
        error.contains("evc.wasm cannot be read: there is no such file"),
        "{error}"
    );
    directory.write("evc.wasm", "one");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
}

#[tokio::test]
async fn directories_that_are_not_there_yet_are_waited_for() {
    let directory = SourceDirectory::new();
    let mut modules = directory.follow("not/yet/evc.wasm");
    next_error(&mut modules).await;
    fs::create_dir(directory.at("not")).unwrap();
    fs::create_dir(directory.at("not/yet")).unwrap();
    directory.write("not/yet/evc.wasm", "one");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    // Another directory of that name, perhaps with the inode of the one before.
    fs::remove_dir_all(directory.at("not")).unwrap();
    next_error(&mut modules).await;
    fs::create_dir_all(directory.at("not/yet")).unwrap();
    directory.write("not/yet/evc.wasm", "two");
    assert_eq!(next(&mut modules).await.unwrap(), "two");
}

#[tokio::test]
async fn a_module_that_is_not_the_pinned_one_is_refused() {
    let directory = SourceDirectory::new();
    directory.write("evc.wasm", "one");
    let mut modules = directory.follow_pinned("evc.wasm", Some("two"), NEVER);
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    let error = next_error(&mut modules).await;
    assert!(
        error.contains(&format!("holds {one}, but {two} is pinned")),
        "{error}"
    );
    directory.write("evc.wasm", "two");
    assert_eq!(next(&mut modules).await.unwrap(), "two");
}

#[tokio::test]
async fn a_change_that_is_not_reported_is_found_at_the_next_check() {
    let directory = SourceDirectory::new();
    for path in ["a/deep", "b/deep"] {
        fs::create_dir_all(directory.at(path)).unwrap();
    }
    directory.write("a/deep/evc.wasm", "one");
    directory.write("b/deep/evc.wasm", "two");
    let mut modules = directory.follow_pinned("a/deep/evc.wasm", None, Duration::from_millis(200));
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    // In a directory that no link and not the file is in.
    fs::rename(directory.at("a"), directory.at("c")).unwrap();
    fs::rename(directory.at("b"), directory.at("a")).unwrap();
    let mut told = next(&mut modules).await;
    if told.is_err() {
        told = next(&mut modules).await;
    }
    assert_eq!(told.unwrap(), "two");
}

#[tokio::test]
async fn what_is_not_a_file_is_refused() {
    let directory = SourceDirectory::new();
    fs::create_dir(directory.at("evc.wasm")).unwrap();
    let told = |outcome: Result<FetchedModule, FetchError>| outcome.unwrap_err().to_string();
    let access = Access::default();
    let error = told(fetch(&directory.source("evc.wasm", None), &access).await);
    assert!(error.contains("it is a directory"), "{error}");
    let null = ModuleSource {
        location: ModuleLocation::File("/dev/null".into()),
        pinned: None,
    };
    let error = told(fetch(&null, &access).await);
    assert!(
        error.contains("it is a device, not a regular file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_larger_than_any_module_is_refused_unread() {
    let directory = SourceDirectory::new();
    let file = File::create(directory.at("evc.wasm")).unwrap();
    file.set_len(LARGEST + 1).unwrap();
    let mut modules = directory.follow("evc.wasm");
    let error = next_error(&mut modules).await;
    assert!(error.contains("is larger than 256 MiB"), "{error}");
    directory.write("evc.wasm", "one");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
}

#[tokio::test]
async fn a_file_that_is_only_touched_is_not_a_change() {
    let directory = SourceDirectory::new();
    directory.write("evc.wasm", "one");
    let mut modules = directory.follow("evc.wasm");
    assert_eq!(next(&mut modules).await.unwrap(), "one");
    fs::set_permissions(directory.at("evc.wasm"), fs::Permissions::from_mode(0o600)).unwrap();
    directory.write("evc.wasm", "one");
    let silence = timeout(Duration::from_millis(400), modules.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    directory.write("evc.wasm", "two");
    assert_eq!(next(&mut modules).await.unwrap(), "two");
}
