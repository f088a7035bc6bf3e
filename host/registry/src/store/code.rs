use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Store;
use super::directory::{UNFINISHED, name_of};
use super::error::StoreError;

/// How many files are kept. A host runs and tries fewer modules.
const MOST: usize = 64;

/// Compiled code is kept so that the next host, or this one when it takes over, need not compile a module again.
/// It can be deleted at any time. The 64 files that were written last are kept.
impl Store {
    /// The file with the code of this name, if it exists. It is complete, because files are renamed into place.
    #[must_use]
    pub fn code(&self, name: &str) -> Option<PathBuf> {
        let path = self.code_path(name);
        let found = fs::symlink_metadata(&path).ok()?;
        found.is_file().then_some(path)
    }

    /// Keeps code under a name, of ASCII letters, digits, `-` and `.`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn keep_code(&self, name: &str, code: &[u8]) -> Result<PathBuf, StoreError> {
        let _hold = self.directory.hold()?;
        let path = self.code_path(name);
        self.directory.write(&path, code)?;
        self.drop_oldest()?;
        Ok(path)
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
    use super::*;

    #[test]
    fn code_is_found_as_it_was_kept_and_not_after_it_was_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.code("a.bin"), None);
        store.keep_code("a.bin", b"code").unwrap();
        let again = Store::open(directory.path()).unwrap();
        let found = again.code("a.bin").unwrap();
        assert_eq!(fs::read(found).unwrap(), b"code");
        again.forget_code("a.bin").unwrap();
        assert_eq!(store.code("a.bin"), None);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let kept = store.keep_code("../../a/b", b"code").unwrap();
        assert_eq!(kept.parent(), Some(store.codes().as_path()));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for number in 0..=MOST {
            let kept = store.keep_code(&format!("{number}.bin"), b"code").unwrap();
            let written = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            fs::File::open(kept).unwrap().set_modified(written).unwrap();
        }
        store.keep_code("last.bin", b"code").unwrap();
        assert_eq!(store.directory.list(&store.codes()).unwrap().len(), MOST);
        assert_eq!(store.code("0.bin"), None);
        assert!(store.code("last.bin").is_some());
    }
}
