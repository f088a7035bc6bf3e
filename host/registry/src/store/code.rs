use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};

use super::Store;
use super::directory::{UNFINISHED, name_of, unusable};
use super::error::StoreError;
use super::owner::check_executed;
use crate::file::{open_with, path_of, reason};

/// How many files are kept. A host runs and tries fewer modules.
const MOST: usize = 64;

/// Compiled code is kept so that the next host, or this one when it takes over, need not compile a module again.
/// It can be deleted at any time. The 64 files that were written last are kept.
impl Store {
    /// The file with the code of this name, if there is one that only this user and root can have written. Such a file is
    /// complete, because files are renamed into place. What others can have written is left alone, and a line in the log
    /// says so.
    #[must_use]
    pub fn code(&self, name: &str) -> Option<File> {
        match self.opened_code(name) {
            Ok(file) => Some(file),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => {
                let path = self.code_path(name);
                tracing::warn!(
                    "compiled code in {} is not executed, and compiled again: {}",
                    path.display(),
                    reason(&cause)
                );
                None
            }
        }
    }

    /// What is checked is what was opened, and not what has its name by then.
    fn opened_code(&self, name: &str) -> io::Result<File> {
        let path = self.code_path(name);
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(self.codes(), flags, Mode::empty())?;
        let directory = File::from(directory);
        let checked = check_executed(&directory.metadata()?);
        checked
            .map_err(|problem| io::Error::other(format!("its directory is not safe: {problem}")))?;
        // Opened in that directory, whatever has the directory's name by now.
        let path = path_of(&directory).join(name_of(&path));
        let (file, metadata) = open_with(&path, OFlags::NOFOLLOW)?;
        check_executed(&metadata).map_err(io::Error::other)?;
        Ok(file)
    }

    /// Makes the directory of compiled code one that no group may write to. A volume that is given to a group is opened to
    /// it, with all that is in it. Then the code in it may be the group's, so it goes.
    pub(super) fn close_codes(&self) -> Result<(), StoreError> {
        let codes = self.codes();
        let unusable = |cause: io::Error| unusable(&self.directory.path, &codes, "closed", &cause);
        let found = fs::symlink_metadata(&codes).map_err(unusable)?;
        if check_executed(&found).is_ok() {
            return Ok(());
        }
        fs::set_permissions(&codes, Permissions::from_mode(0o700)).map_err(unusable)?;
        for path in self.directory.list(&codes)? {
            self.directory.remove(&path)?;
        }
        Ok(())
    }

    /// Keeps code under a name, of ASCII letters, digits, `-` and `.`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn keep_code(&self, name: &str, code: &[u8]) -> Result<(), StoreError> {
        let _hold = self.directory.hold()?;
        let path = self.code_path(name);
        self.directory.write(&path, code)?;
        self.drop_oldest()
    }

    /// Removes code that cannot be used.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn forget_code(&self, name: &str) -> Result<(), StoreError> {
        let _hold = self.directory.hold()?;
        self.directory.remove(&self.code_path(name))
    }

    fn drop_oldest(&self) -> Result<(), StoreError> {
        let age = |path: &Path| {
            let written = fs::metadata(path).and_then(|metadata| metadata.modified());
            written.unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let mut files = self.directory.list(&self.codes())?;
        files.retain(|path| !name_of(path).starts_with(UNFINISHED));
        files.sort_by_cached_key(|path| age(path));
        let surplus = files.len().saturating_sub(MOST);
        // The system frees a file that is mapped into memory only when the last mapping ends.
        files
            .iter()
            .take(surplus)
            .try_for_each(|path| self.directory.remove(path))
    }

    fn code_path(&self, name: &str) -> PathBuf {
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        self.codes()
            .join(name.chars().filter(is_plain).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::{MetadataExt as _, chown, symlink};

    use rstest::rstest;
    use rustix::fs::{CWD, FileType, mknodat};
    use rustix::process::geteuid;
    use tempfile::TempDir;

    use super::*;

    fn open() -> (TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        (directory, store)
    }

    fn kept(store: &Store, name: &str) -> Option<String> {
        let mut text = String::new();
        store.code(name)?.read_to_string(&mut text).unwrap();
        Some(text)
    }

    #[test]
    fn code_is_found_as_it_was_kept_and_not_after_it_was_forgotten() {
        let (directory, store) = open();
        assert_eq!(kept(&store, "a.bin"), None);
        store.keep_code("a.bin", b"code").unwrap();
        let again = Store::open(directory.path()).unwrap();
        assert_eq!(kept(&again, "a.bin").as_deref(), Some("code"));
        again.forget_code("a.bin").unwrap();
        assert_eq!(kept(&store, "a.bin"), None);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let (_directory, store) = open();
        store.keep_code("../../a/b", b"code").unwrap();
        let path = store.code_path("../../a/b");
        assert_eq!(path.parent(), Some(store.codes().as_path()));
        assert_eq!(kept(&store, "../../a/b").as_deref(), Some("code"));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let (_directory, store) = open();
        for number in 0..=MOST {
            let name = format!("{number}.bin");
            store.keep_code(&name, b"code").unwrap();
            let written = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            let file = File::open(store.code_path(&name)).unwrap();
            file.set_modified(written).unwrap();
        }
        store.keep_code("last.bin", b"code").unwrap();
        assert_eq!(store.directory.list(&store.codes()).unwrap().len(), MOST);
        assert_eq!(kept(&store, "0.bin"), None);
        assert!(kept(&store, "last.bin").is_some());
    }

    /// What another user may do to the file with compiled code.
    #[derive(Clone, Copy)]
    enum Deed {
        Open(u32),
        OpenDirectory(u32),
        Own,
        OwnDirectory,
        Link,
        Pipe,
    }

    impl Deed {
        fn is_of_root(self) -> bool {
            match self {
                Self::Own | Self::OwnDirectory => true,
                Self::Open(_) | Self::OpenDirectory(_) | Self::Link | Self::Pipe => false,
            }
        }

        fn to(self, file: &Path) {
            let codes = file.parent().unwrap();
            let set = |path: &Path, mode| {
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            };
            match self {
                Self::Open(mode) => set(file, mode),
                Self::OpenDirectory(mode) => set(codes, mode),
                Self::Own => chown(file, Some(1000), None).unwrap(),
                Self::OwnDirectory => chown(codes, Some(1000), None).unwrap(),
                Self::Link => {
                    let theirs = codes.with_file_name("theirs");
                    fs::rename(file, &theirs).unwrap();
                    symlink(theirs, file).unwrap();
                }
                Self::Pipe => {
                    fs::remove_file(file).unwrap();
                    mknodat(CWD, file, FileType::Fifo, Mode::RWXU, 0).unwrap();
                }
            }
        }
    }

    #[rstest]
    #[case::open_to_its_group(Deed::Open(0o660), "may write to it (mode 0660)")]
    #[case::open_to_all(Deed::Open(0o602), "everybody may write to it (mode 0602)")]
    #[case::anothers(Deed::Own, "it is owned by user 1000")]
    #[case::in_a_directory_open_to_its_group(
        Deed::OpenDirectory(0o770),
        "its directory is not safe: group"
    )]
    #[case::in_a_directory_open_to_all(
        Deed::OpenDirectory(0o702),
        "its directory is not safe: everybody"
    )]
    #[case::in_anothers_directory(
        Deed::OwnDirectory,
        "its directory is not safe: it is owned by user 1000"
    )]
    #[case::a_link(Deed::Link, "symbolic links")]
    #[case::a_pipe(Deed::Pipe, "it is a pipe")]
    fn code_that_others_can_have_written_is_not_executed(#[case] deed: Deed, #[case] told: &str) {
        if deed.is_of_root() && !geteuid().is_root() {
            // Only root can give a file to another user.
            return;
        }
        let (_directory, store) = open();
        store.keep_code("a.bin", b"code").unwrap();
        deed.to(&store.code_path("a.bin"));
        let cause = store.opened_code("a.bin").unwrap_err();
        assert!(reason(&cause).contains(told), "{cause}");
        assert_eq!(kept(&store, "a.bin"), None);
    }

    #[test]
    fn code_in_a_directory_that_was_opened_to_a_group_goes_when_the_host_starts() {
        let (directory, store) = open();
        store.keep_code("a.bin", b"code").unwrap();
        fs::set_permissions(store.codes(), Permissions::from_mode(0o2770)).unwrap();
        let again = Store::open(directory.path()).unwrap();
        assert_eq!(kept(&again, "a.bin"), None);
        assert_eq!(fs::metadata(store.codes()).unwrap().mode() & 0o777, 0o700);
        again.keep_code("a.bin", b"code").unwrap();
        assert_eq!(kept(&again, "a.bin").as_deref(), Some("code"));
    }
}
