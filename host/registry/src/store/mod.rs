mod code;
mod error;
mod folder;
mod owner;
mod record;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use handler_host_core::Digest;

use crate::Fetched;
pub use error::StoreError;
use folder::{Folder, UNFINISHED, name_of, read};
use record::{GoodRecord, Record};

/// The longest key: with what is put around it, a file's name everywhere.
const LONGEST_KEY: usize = 120;

/// A directory that keeps what must survive a restart and the API server does not keep: the last good module
/// of each handler, what was rolled back, and compiled code.
///
/// All methods block, for two seconds at most on another host: one at a time works on a directory, whichever
/// host or thread it is of.
///
/// # Who may write to it
///
/// Whoever writes to the directory decides which module runs, and what this process executes. So it, if it is there already, and what is
/// within, must be owned by the user of this process or by root, must not be writable by others, and by a group
/// only if this process is of it: an emptyDir or a volume with `fsGroup` passes. A directory of root that is
/// everybody's (mode 0777, as kubelet makes an emptyDir without `fsGroup`) is not used itself, but
/// `handler-host` in it, made with mode 0700; whoever else writes to such a directory can still exchange that
/// while the host runs, so share it with nobody else. The directories above are not looked at. Links within are
/// not followed.
///
/// # Keys
///
/// What is kept is found by a key, such as the handler's name, or its name, a dot and its UID: at most 120 of
/// `a-z`, `0-9`, `-` and `.`, with something between dots, before and behind them.
#[derive(Clone, Debug)]
pub struct Store {
    folder: Folder,
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

impl Store {
    /// Opens a store, made if need be, for its owner's eyes only.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made or written to, when others may write to it, or when another host does
    /// not let go of it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let folder = Folder::new(owner::settle(directory)?);
        let store = Self { folder };
        store.prepare()?;
        Ok(store)
    }

    fn prepare(&self) -> Result<(), StoreError> {
        for directory in [self.modules(), self.handlers(), self.codes()] {
            owner::settle_in(&self.folder.path, &directory)?;
        }
        let _hold = self.folder.hold()?;
        for directory in [self.modules(), self.handlers(), self.codes()] {
            let probe = directory.join("probe");
            self.folder.write(&probe, b"")?;
            self.folder.remove(&probe)?;
            // Of a host that died while it wrote.
            for path in self.folder.list(&directory)? {
                if name_of(&path).starts_with(UNFINISHED) {
                    self.folder.remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// What is kept of a handler. What is damaged counts as not there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn kept(&self, key: &str) -> Result<Kept, StoreError> {
        let _hold = self.folder.hold()?;
        let record = self.record(key)?;
        Ok(Kept {
            good: record.good.and_then(|good| self.module(key, good)),
            rejected: record.rejected.and_then(|rejected| rejected.read(key)),
        })
    }

    /// Keeps a module as the last good one of a handler.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn keep_good(&self, key: &str, module: &Fetched) -> Result<(), StoreError> {
        let _hold = self.folder.hold()?;
        let mut record = self.record(key)?;
        let path = self.module_path(module.digest);
        if !read(&path).is_ok_and(|bytes| Digest::of(&bytes) == module.digest) {
            self.folder.write(&path, &module.bytes)?;
        }
        record.good = Some(GoodRecord {
            digest: module.digest.to_string(),
            origin: module.origin.clone(),
        });
        self.write_record(key, &record)?;
        self.drop_unnamed();
        Ok(())
    }

    /// Keeps that a module was rolled back.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn reject(&self, key: &str, rejected: &Rejected) -> Result<(), StoreError> {
        let _hold = self.folder.hold()?;
        let mut record = self.record(key)?;
        record.rejected = Some(rejected.into());
        self.write_record(key, &record)
    }

    /// Forgets that a module was rolled back.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn clear_rejected(&self, key: &str) -> Result<(), StoreError> {
        let _hold = self.folder.hold()?;
        let mut record = self.record(key)?;
        match record.rejected.take() {
            Some(_) => self.write_record(key, &record),
            None => Ok(()),
        }
    }

    /// Forgets a handler.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn forget(&self, key: &str) -> Result<(), StoreError> {
        let _hold = self.folder.hold()?;
        self.folder.remove(&self.record_path(key)?)?;
        self.drop_unnamed();
        Ok(())
    }

    fn modules(&self) -> PathBuf {
        self.folder.path.join("modules")
    }

    fn handlers(&self) -> PathBuf {
        self.folder.path.join("handlers")
    }

    fn module_path(&self, digest: Digest) -> PathBuf {
        let digest = digest.to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default();
        self.modules().join(hex).with_extension("wasm")
    }

    fn record_path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let is_part = |part: &str| {
            let is_named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !part.is_empty() && part.chars().all(is_named)
        };
        if key.len() > LONGEST_KEY || !key.split('.').all(is_part) {
            return Err(StoreError::Key(key.to_owned()));
        }
        Ok(self.handlers().join(format!("{key}.json")))
    }

    fn record(&self, key: &str) -> Result<Record, StoreError> {
        self.record_at(&self.record_path(key)?)
    }

    fn record_at(&self, path: &Path) -> Result<Record, StoreError> {
        let Some(text) = self.folder.read(path)? else {
            return Ok(Record::default());
        };
        Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
            damaged(path, &format!("it is no record in JSON ({error})"));
            Record::default()
        }))
    }

    fn write_record(&self, key: &str, record: &Record) -> Result<(), StoreError> {
        let path = self.record_path(key)?;
        // Plain structures of texts always have a JSON form.
        let text = serde_json::to_vec_pretty(record).unwrap_or_default();
        self.folder.write(&path, &text)
    }

    fn module(&self, key: &str, good: GoodRecord) -> Option<Fetched> {
        let digest: Digest = match good.digest.parse() {
            Ok(digest) => digest,
            Err(error) => {
                damaged(&self.handlers().join(key), &format!("{error}"));
                return None;
            }
        };
        let path = self.module_path(digest);
        match read(&path) {
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

    /// Removes the modules that no handler names. That it cannot is told and no error: what was asked for is
    /// done, and what is left over goes with the next one.
    fn drop_unnamed(&self) {
        if let Err(error) = self.try_drop_unnamed() {
            tracing::warn!("modules that no handler needs any more are left: {error}");
        }
    }

    fn try_drop_unnamed(&self) -> Result<(), StoreError> {
        let mut named = BTreeSet::new();
        for path in self.folder.list(&self.handlers())? {
            // What cannot be read may name any of them.
            let record = self.record_at(&path)?;
            let digest = record.good.and_then(|good| good.digest.parse().ok());
            named.extend(digest.map(|digest| self.module_path(digest)));
        }
        for path in self.folder.list(&self.modules())? {
            if !named.contains(&path) {
                self.folder.remove(&path)?;
            }
        }
        Ok(())
    }
}

fn damaged(path: &Path, reason: &str) {
    tracing::warn!(
        "{} in the state directory is damaged and passed over: {reason}",
        path.display()
    );
}

#[cfg(test)]
mod tests;
