mod record;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use handler_host_core::Digest;

use crate::{Fetched, LARGEST};
use record::{GoodRecord, Record};

/// Files being written bear this before their name until they are whole.
const UNFINISHED: &str = ".new-";

/// A directory that keeps what must survive a restart and the API server does not keep: the last good module
/// of each handler, and what was rolled back.
///
/// All methods block. One at a time works on a directory, whichever host or thread it is of.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// What is kept of a handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The last module that served.
    pub good: Option<Fetched>,
    /// The module that was rolled back.
    pub rejected: Option<Rejected>,
}

/// A module that was rolled back, not to be tried again as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The digest of that module.
    pub digest: Digest,
    /// The digest of the one that serves instead.
    pub good: Option<Digest>,
    /// The digest of the Handler's spec at that time: another one is another try.
    pub spec: Digest,
    /// Why, for people.
    pub error: String,
}

/// Why a store does not keep or give what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be used.
    #[error("state directory {}: {} cannot be {deed}: {reason}; name a directory on a disk with space that this user may write to", directory.display(), path.display())]
    Unusable {
        /// The store's directory.
        directory: PathBuf,
        /// What is in it.
        path: PathBuf,
        /// What was to be done with it.
        deed: &'static str,
        /// Why that failed.
        reason: String,
    },
    /// The name is that of no handler.
    #[error(
        "{0:?} cannot be the name of a handler in the state directory; use a-z, 0-9, `-` and `.`"
    )]
    Name(String),
}

/// Held while a store is worked on; the system takes it back from a host that died.
struct Hold(#[expect(dead_code, reason = "dropped, it gives the lock back")] File);

impl Store {
    /// Opens a store, made if need be, for its owner's eyes only.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made or written to.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let store = Self {
            directory: directory.to_owned(),
        };
        for directory in [store.modules(), store.handlers()] {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&directory);
            made.map_err(|cause| store.unusable(&directory, "made", &cause))?;
        }
        let _hold = store.hold()?;
        // Of a host that died while it wrote.
        for directory in [store.modules(), store.handlers()] {
            store.write(&directory, "probe", b"")?;
            store.remove(&directory.join("probe"))?;
            for path in store.list(&directory)? {
                if name_of(&path).starts_with(UNFINISHED) {
                    store.remove(&path)?;
                }
            }
        }
        Ok(store)
    }

    /// What is kept of a handler. What is damaged counts as not there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn kept(&self, handler: &str) -> Result<Kept, StoreError> {
        let _hold = self.hold()?;
        let record = self.record(handler)?;
        Ok(Kept {
            good: record.good.and_then(|good| self.module(handler, good)),
            rejected: record.rejected.and_then(|rejected| rejected.read(handler)),
        })
    }

    /// Keeps a module as the last good one of a handler.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn keep_good(&self, handler: &str, module: &Fetched) -> Result<(), StoreError> {
        let _hold = self.hold()?;
        let mut record = self.record(handler)?;
        let path = self.module_path(module.digest);
        if digest_of(&path).ok().flatten() != Some(module.digest) {
            self.write(&self.modules(), name_of(&path), &module.bytes)?;
        }
        record.good = Some(GoodRecord {
            digest: module.digest.to_string(),
            origin: module.origin.clone(),
        });
        self.write_record(handler, &record)?;
        self.drop_unnamed()
    }

    /// Keeps that a module was rolled back.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn reject(&self, handler: &str, rejected: &Rejected) -> Result<(), StoreError> {
        let _hold = self.hold()?;
        let mut record = self.record(handler)?;
        record.rejected = Some(rejected.into());
        self.write_record(handler, &record)
    }

    /// Forgets that a module was rolled back.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn clear_rejected(&self, handler: &str) -> Result<(), StoreError> {
        let _hold = self.hold()?;
        let mut record = self.record(handler)?;
        match record.rejected.take() {
            Some(_) => self.write_record(handler, &record),
            None => Ok(()),
        }
    }

    /// Forgets a handler.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn forget(&self, handler: &str) -> Result<(), StoreError> {
        let _hold = self.hold()?;
        self.remove(&self.record_path(handler)?)?;
        self.drop_unnamed()
    }

    fn modules(&self) -> PathBuf {
        self.directory.join("modules")
    }

    fn handlers(&self) -> PathBuf {
        self.directory.join("handlers")
    }

    fn module_path(&self, digest: Digest) -> PathBuf {
        let digest = digest.to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default();
        self.modules().join(hex).with_extension("wasm")
    }

    fn record_path(&self, handler: &str) -> Result<PathBuf, StoreError> {
        let is_named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if handler.is_empty() || handler.starts_with('.') || !handler.chars().all(is_named) {
            return Err(StoreError::Name(handler.to_owned()));
        }
        Ok(self.handlers().join(format!("{handler}.json")))
    }

    fn hold(&self) -> Result<Hold, StoreError> {
        let path = self.directory.join("lock");
        let mut options = OpenOptions::new();
        let opened = options.create(true).write(true).truncate(false).mode(0o600);
        let held = opened.open(&path).and_then(|file| {
            file.lock()?;
            Ok(Hold(file))
        });
        held.map_err(|cause| self.unusable(&path, "locked", &cause))
    }

    fn record(&self, handler: &str) -> Result<Record, StoreError> {
        let path = self.record_path(handler)?;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(cause) => return Err(self.unusable(&path, "read", &cause)),
        };
        Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
            damaged(&path, &format!("it is no record in JSON ({error})"));
            Record::default()
        }))
    }

    fn write_record(&self, handler: &str, record: &Record) -> Result<(), StoreError> {
        let path = self.record_path(handler)?;
        // Plain structures of texts always have a JSON form.
        let text = serde_json::to_vec_pretty(record).unwrap_or_default();
        self.write(&self.handlers(), name_of(&path), &text)
    }

    fn module(&self, handler: &str, good: GoodRecord) -> Option<Fetched> {
        let digest: Digest = match good.digest.parse() {
            Ok(digest) => digest,
            Err(error) => {
                damaged(&self.handlers().join(handler), &format!("{error}"));
                return None;
            }
        };
        let path = self.module_path(digest);
        match read_module(&path) {
            Ok(bytes) if Digest::of(&bytes) == digest => Some(Fetched {
                bytes: bytes.into(),
                digest,
                origin: good.origin,
            }),
            Ok(_) => {
                damaged(&path, "its bytes are not those it is named after");
                None
            }
            Err(cause) => {
                damaged(&path, &crate::file::reason(&cause));
                None
            }
        }
    }

    /// Removes the modules that no handler names.
    fn drop_unnamed(&self) -> Result<(), StoreError> {
        let mut named = BTreeSet::new();
        for path in self.list(&self.handlers())? {
            let text = fs::read(&path).unwrap_or_default();
            let record: Record = serde_json::from_slice(&text).unwrap_or_default();
            let digest = record.good.and_then(|good| good.digest.parse().ok());
            named.extend(digest.map(|digest| self.module_path(digest)));
        }
        for path in self.list(&self.modules())? {
            if !named.contains(&path) {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let entries = fs::read_dir(directory).and_then(|entries| {
            let paths = entries.map(|entry| Ok(entry?.path()));
            paths.collect::<io::Result<Vec<_>>>()
        });
        entries.map_err(|cause| self.unusable(directory, "read", &cause))
    }

    /// Puts a file in place of another at once: whoever reads finds the one or the other, also after a crash.
    fn write(&self, directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let unfinished = directory.join(format!("{UNFINISHED}{name}"));
        let mut options = OpenOptions::new();
        let options = options.create(true).write(true).truncate(true).mode(0o600);
        let written = options.open(&unfinished).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, directory.join(name))?;
            File::open(directory)?.sync_all()
        });
        written.map_err(|cause| {
            let _ = fs::remove_file(&unfinished);
            self.unusable(&directory.join(name), "written", &cause)
        })
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(self.unusable(path, "removed", &cause))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn unusable(&self, path: &Path, deed: &'static str, cause: &io::Error) -> StoreError {
        let below = path.strip_prefix(&self.directory).unwrap_or(path);
        StoreError::Unusable {
            directory: self.directory.clone(),
            path: below.to_owned(),
            deed,
            reason: crate::file::reason(cause),
        }
    }
}

fn read_module(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn digest_of(path: &Path) -> io::Result<Option<Digest>> {
    match read_module(path) {
        Ok(bytes) => Ok(Some(Digest::of(&bytes))),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

fn damaged(path: &Path, reason: &str) {
    tracing::warn!(
        "{} in the state directory is damaged and passed over: {reason}",
        path.display()
    );
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
