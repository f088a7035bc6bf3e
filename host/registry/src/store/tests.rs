use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use bytes::Bytes;
use rstest::rstest;

use super::*;
use crate::fetched::fetched;

fn module(text: &str) -> FetchedModule {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    fetched(bytes, format!("/modules/{text}.wasm"), None).unwrap()
}

fn rolled_back(error: &str) -> RolledBack {
    RolledBack {
        digest: Digest::of(b"bad"),
        good: Some(Digest::of(b"good")),
        spec: Digest::of(b"spec"),
        error: error.to_owned(),
    }
}

struct Disk {
    temporary: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        Self {
            temporary: tempfile::tempdir().unwrap(),
        }
    }

    fn directory(&self) -> PathBuf {
        self.temporary.path().join("state/deep")
    }

    /// What a host that starts finds.
    fn store(&self) -> Store {
        Store::open(&self.directory()).unwrap()
    }

    fn files(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.directory().join(below)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn damage(&self, below: &str, text: &str) {
        for name in self.files(below) {
            fs::write(self.directory().join(below).join(name), text).unwrap();
        }
    }
}

#[test]
fn a_good_module_and_what_was_rolled_back_survive_a_restart() {
    let disk = Disk::new();
    disk.store().keep_good("evc", &module("a")).unwrap();
    disk.store()
        .keep_rolled_back("evc", &rolled_back("it trapped"))
        .unwrap();
    let kept = disk.store().kept("evc").unwrap();
    assert_eq!(kept.good, Some(module("a")));
    assert_eq!(kept.rolled_back, Some(rolled_back("it trapped")));

    disk.store().clear_rolled_back("evc").unwrap();
    let kept = disk.store().kept("evc").unwrap();
    assert_eq!((kept.good, kept.rolled_back), (Some(module("a")), None));
}

#[test]
fn nothing_is_kept_of_an_unknown_handler() {
    let disk = Disk::new();
    assert_eq!(disk.store().kept("evc").unwrap(), KeptModules::default());
    disk.store().clear_rolled_back("evc").unwrap();
    disk.store().forget("evc").unwrap();
    disk.store()
        .keep_rolled_back("other", &rolled_back("no"))
        .unwrap();
    let kept = disk.store().kept("other").unwrap();
    assert_eq!(
        (kept.good, kept.rolled_back),
        (None, Some(rolled_back("no")))
    );
}

#[test]
fn modules_are_shared_and_go_with_the_last_handler_that_names_them() {
    let disk = Disk::new();
    let store = disk.store();
    store.keep_good("one", &module("a")).unwrap();
    store.keep_good("two", &module("a")).unwrap();
    assert_eq!(disk.files("modules").len(), 1);
    store.keep_good("one", &module("b")).unwrap();
    assert_eq!(disk.files("modules").len(), 2);
    store.forget("two").unwrap();
    assert_eq!(disk.files("modules").len(), 1);
    assert_eq!(store.kept("one").unwrap().good, Some(module("b")));
    store.forget("one").unwrap();
    assert_eq!(disk.files("modules"), Vec::<String>::new());
    assert_eq!(disk.files("handlers"), Vec::<String>::new());
}

#[rstest]
#[case::another_module("modules", "b")]
#[case::a_cut_module("modules", "")]
#[case::a_cut_record("handlers", "{\"good\": {\"dig")]
#[case::an_empty_record("handlers", "")]
#[case::a_digest_that_is_none("handlers", r#"{"good": {"digest": "x", "origin": "y"}}"#)]
fn damaged_files_count_as_missing_and_are_written_again(#[case] below: &str, #[case] text: &str) {
    let disk = Disk::new();
    let store = disk.store();
    store.keep_good("evc", &module("a")).unwrap();
    disk.damage(below, text);
    assert_eq!(disk.store().kept("evc").unwrap(), KeptModules::default());
    store.keep_good("evc", &module("a")).unwrap();
    assert_eq!(store.kept("evc").unwrap().good, Some(module("a")));
    assert_eq!(disk.files("modules").len(), 1);
}

#[test]
fn files_that_a_host_left_half_written_are_removed() {
    let disk = Disk::new();
    disk.store().keep_good("evc", &module("a")).unwrap();
    for below in ["modules", "handlers"] {
        fs::write(disk.directory().join(below).join(".new-x"), "half").unwrap();
    }
    assert_eq!(disk.store().kept("evc").unwrap().good, Some(module("a")));
    assert_eq!(disk.files("modules").len(), 1);
    assert_eq!(disk.files("handlers"), ["evc.json"]);
}

#[test]
fn handlers_that_are_kept_at_once_lose_nothing() {
    let disk = Disk::new();
    let store = disk.store();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                let name = format!("h{number}");
                store.keep_good(&name, &module("old")).unwrap();
                store.keep_good(&name, &module(&name)).unwrap();
            });
        }
    });
    for number in 0..8 {
        let name = format!("h{number}");
        assert_eq!(store.kept(&name).unwrap().good, Some(module(&name)));
    }
    assert_eq!(disk.files("modules").len(), 8);
}

#[test]
fn only_the_owner_sees_it() {
    let disk = Disk::new();
    disk.store().keep_good("evc", &module("a")).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(disk.directory()), 0o700);
    let files = disk.files("modules");
    assert_eq!(
        mode(disk.directory().join("modules").join(&files[0])),
        0o600
    );
}

#[test]
fn a_directory_that_cannot_be_used_is_reported_at_once() {
    let disk = Disk::new();
    fs::write(disk.temporary.path().join("state"), "a file").unwrap();
    let error = Store::open(&disk.directory()).unwrap_err().to_string();
    assert!(error.contains(": it cannot be made"), "{error}");
    assert!(error.contains("name a directory"), "{error}");
}

#[test]
fn a_directory_that_another_host_does_not_release_is_reported() {
    let disk = Disk::new();
    let mut store = disk.store();
    store.directory.patience = Duration::ZERO;
    let other = File::open(disk.directory().join("lock")).unwrap();
    other.lock().unwrap();
    let error = store.keep_good("evc", &module("a")).unwrap_err();
    let told = "in use by another host, which does not release it; give each host its own";
    assert!(error.to_string().contains(told), "{error}");
    other.unlock().unwrap();
    store.keep_good("evc", &module("a")).unwrap();
}

#[test]
fn another_host_is_waited_for_while_it_works() {
    let disk = Disk::new();
    let store = disk.store();
    let other = File::open(disk.directory().join("lock")).unwrap();
    other.lock().unwrap();
    std::thread::scope(|scope| {
        let kept = scope.spawn(|| store.kept("evc"));
        other.unlock().unwrap();
        assert_eq!(kept.join().unwrap().unwrap(), KeptModules::default());
    });
}

#[test]
fn while_a_record_cannot_be_read_no_module_is_removed() {
    let disk = Disk::new();
    let store = disk.store();
    store.keep_good("one", &module("a")).unwrap();
    let record = disk.directory().join("handlers/one.json");
    let text = fs::read(&record).unwrap();
    // A directory cannot be read as a file, not even by root.
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    store.keep_good("two", &module("b")).unwrap();
    store.forget("two").unwrap();
    assert_eq!(disk.files("modules").len(), 2);

    fs::remove_dir(&record).unwrap();
    fs::write(&record, text).unwrap();
    assert_eq!(store.kept("one").unwrap().good, Some(module("a")));
    store.forget("three").unwrap();
    assert_eq!(disk.files("modules").len(), 1);
}

#[test]
fn a_planted_link_is_not_written_through() {
    let disk = Disk::new();
    let store = disk.store();
    let victim = disk.temporary.path().join("victim");
    fs::write(&victim, "theirs").unwrap();
    store.keep_good("evc", &module("a")).unwrap();
    let name = disk.files("modules").remove(0);
    store.forget("evc").unwrap();
    for planted in [
        format!("modules/.new-{name}"),
        "handlers/.new-evc.json".to_owned(),
    ] {
        symlink(&victim, disk.directory().join(planted)).unwrap();
    }
    store.keep_good("evc", &module("a")).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"theirs");
    assert_eq!(store.kept("evc").unwrap().good, Some(module("a")));
}

#[test]
fn a_lock_that_is_a_link_is_not_opened() {
    let disk = Disk::new();
    let store = disk.store();
    let (lock, victim) = (
        disk.directory().join("lock"),
        disk.temporary.path().join("victim"),
    );
    fs::remove_file(&lock).unwrap();
    symlink(&victim, &lock).unwrap();
    let error = store.kept("evc").unwrap_err().to_string();
    assert!(error.contains("lock cannot be locked"), "{error}");
    assert!(!victim.exists());
}

#[rstest]
#[case::others(".")]
#[case::others_to_its_modules("modules")]
#[case::others_to_its_records("handlers")]
fn a_directory_that_others_may_write_to_is_refused(#[case] below: &str) {
    let disk = Disk::new();
    disk.store().keep_good("evc", &module("a")).unwrap();
    let writable = fs::Permissions::from_mode(0o703);
    fs::set_permissions(disk.directory().join(below), writable).unwrap();
    let error = Store::open(&disk.directory()).unwrap_err().to_string();
    assert!(
        error.contains("everybody may write to it (mode 0703)"),
        "{error}"
    );
    assert!(error.contains("decides which module runs"), "{error}");
}

#[test]
fn keys_with_a_uid_are_kept_apart() {
    let disk = Disk::new();
    let store = disk.store();
    let keys = ["evc", "evc.5b1c7e0e-03a5-4f0c-9c1e-2d5a4e3b2f10", "a.b.c-0"];
    for key in keys {
        store.keep_good(key, &module(key)).unwrap();
    }
    store.keep_good(&"a".repeat(120), &module("long")).unwrap();
    for key in keys {
        assert_eq!(store.kept(key).unwrap().good, Some(module(key)));
    }
}

#[rstest]
#[case("")]
#[case("../evc")]
#[case(".evc")]
#[case("evc.")]
#[case("evc..uid")]
#[case("Evc")]
#[case("evc_1")]
#[case("a/b")]
#[case("ä")]
#[case(&"a".repeat(121))]
fn a_text_that_cannot_be_a_key_is_refused(#[case] key: &str) {
    let disk = Disk::new();
    let error = disk.store().keep_good(key, &module("a")).unwrap_err();
    assert!(error.to_string().contains("cannot be the key"), "{error}");
}
