mod code;
mod directory;
mod error;
mod owner;
mod record;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use handler_host_core::{Digest, FetchedModule, KeptModules, RolledBack};

use crate::file::reason;
use directory::{StoreDirectory, UNFINISHED, name_of, read};
use record::{GoodRecord, HandlerRecord, damaged};

pub use error::StoreError;

/// The length of the longest key. With what is put around it, it is a valid file name on every file system.
const LONGEST_KEY: usize = 120;

/// A directory that keeps what must survive a restart and is not in the API server: the last good module of each
/// handler, what was rolled back, and compiled code.
///
/// All methods block. Only one thread of one host works on a directory at a time; a method waits at most two
/// seconds for its turn.
///
/// # Who may write to it
///
/// A user who can write to the directory decides which module runs, and what this process executes. So the
/// directory and the directories in it must be owned by the user of this process or by root. Others must not be
/// able to write to them, and a group only if this process belongs to it. An emptyDir or a volume with `fsGroup`
/// satisfies this.
///
/// If root owns the directory and everyone may write to it (mode 0777, as kubelet makes an emptyDir without
/// `fsGroup`), the directory `handler-host` in it is used instead, which is made with mode 0700. Another user of
/// such a directory can still replace that one while the host runs, so it must not be shared. The directories
/// above are not checked. Links within are not followed.
///
/// A file that another user owns, or that others may write to, is not used, wherever it came from. Of compiled code this
/// is stricter: no group may write to it, nor to its directory.
///
/// # Keys
///
/// What is kept of a handler has a key, such as the handler's name, or its name, a dot and its UID. A key has at
/// most 120 characters, which are `a-z`, `0-9`, `-` and `.`. A dot must not be the first or last character, and
/// must not follow another dot.
#[derive(Clone, Debug)]
pub struct Store {
    directory: StoreDirectory,
}

impl Store {
    /// Opens a store. It makes the directory if there is none, readable for its owner only.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made or written to, when others may write to it, or when another host does
    /// not release it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let directory = StoreDirectory::new(owner::settle(directory)?);
        let store = Self { directory };
        store.prepare()?;
        Ok(store)
    }

    /// The directory that is used: the one that was asked for, or the one in it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory.path
    }

    fn prepare(&self) -> Result<(), StoreError> {
        for directory in [self.modules(), self.handlers(), self.codes()] {
            owner::settle_in(&self.directory.path, &directory)?;
        }
        let _hold = self.directory.hold()?;
        self.close_codes()?;
        for directory in [self.modules(), self.handlers(), self.codes()] {
            let probe = directory.join("probe");
            self.directory.write(&probe, b"")?;
            self.directory.remove(&probe)?;
            // A host that died while it wrote has left such files.
            for path in self.directory.list(&directory)? {
                if name_of(&path).starts_with(UNFINISHED) {
                    self.directory.remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// What is kept of a handler. Damaged files count as missing.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn kept(&self, key: &str) -> Result<KeptModules, StoreError> {
        let _hold = self.directory.hold()?;
        let record = self.record(key)?;
        Ok(KeptModules {
            good: record.good.and_then(|good| self.module(key, good)),
            rolled_back: record
                .rolled_back
                .and_then(|rolled_back| rolled_back.read(key)),
        })
    }

    /// Keeps a module as the last good one of a handler.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn keep_good(&self, key: &str, module: &FetchedModule) -> Result<(), StoreError> {
        let _hold = self.directory.hold()?;
        let mut record = self.record(key)?;
        let path = self.module_path(module.digest);
        if !read(&path).is_ok_and(|bytes| Digest::of(&bytes) == module.digest) {
            self.directory.write(&path, &module.bytes)?;
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
    pub fn keep_rolled_back(&self, key: &str, rolled_back: &RolledBack) -> Result<(), StoreError> {
        let _hold = self.directory.hold()?;
        let mut record = self.record(key)?;
        record.rolled_back = Some(rolled_back.into());
        self.write_record(key, &record)
    }

    /// Forgets that a module was rolled back.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written to.
    pub fn clear_rolled_back(&self, key: &str) -> Result<(), StoreError> {
        let _hold = self.directory.hold()?;
        let mut record = self.record(key)?;
        match record.rolled_back.take() {
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
        let _hold = self.directory.hold()?;
        self.directory.remove(&self.record_path(key)?)?;
        self.drop_unnamed();
        Ok(())
    }

    fn modules(&self) -> PathBuf {
        self.directory.path.join("modules")
    }

    fn handlers(&self) -> PathBuf {
        self.directory.path.join("handlers")
    }

    fn codes(&self) -> PathBuf {
        self.directory.path.join("code")
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

    fn record(&self, key: &str) -> Result<HandlerRecord, StoreError> {
        self.record_at(&self.record_path(key)?)
    }

    fn record_at(&self, path: &Path) -> Result<HandlerRecord, StoreError> {
        let Some(text) = self.directory.read(path)? else {
            return Ok(HandlerRecord::default());
        };
        Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
            damaged(path, &format!("it is not a record in JSON ({error})"));
            HandlerRecord::default()
        }))
    }

    fn write_record(&self, key: &str, record: &HandlerRecord) -> Result<(), StoreError> {
        let path = self.record_path(key)?;
        // Structures of texts always have a JSON form.
        let text = serde_json::to_vec_pretty(record).unwrap_or_default();
        self.directory.write(&path, &text)
    }

    fn module(&self, key: &str, good: GoodRecord) -> Option<FetchedModule> {
        let digest: Digest = match good.digest.parse() {
            Ok(digest) => digest,
            Err(error) => {
                damaged(&self.handlers().join(key), &format!("{error}"));
                return None;
            }
        };
        let path = self.module_path(digest);
        match read(&path) {
            Ok(bytes) if Digest::of(&bytes) == digest => Some(FetchedModule {
                bytes: bytes.into(),
                digest,
                origin: good.origin,
            }),
            Ok(_) => {
                damaged(&path, "its bytes are not those it is named after");
                None
            }
            Err(cause) => {
                damaged(&path, &reason(&cause));
                None
            }
        }
    }

    /// Removes the modules that no handler names. A failure is only logged, because the caller's own work is
    /// done; the next call removes what is left.
    fn drop_unnamed(&self) {
        if let Err(error) = self.try_drop_unnamed() {
            tracing::warn!("modules that no handler needs any more are left: {error}");
        }
    }

    fn try_drop_unnamed(&self) -> Result<(), StoreError> {
        let mut named = BTreeSet::new();
        for path in self.directory.list(&self.handlers())? {
            // A record that cannot be read may name any of them, so nothing is removed then.
            let record = self.record_at(&path)?;
            let digest = record.good.and_then(|good| good.digest.parse().ok());
            named.extend(digest.map(|digest| self.module_path(digest)));
        }
        for path in self.directory.list(&self.modules())? {
            if !named.contains(&path) {
                self.directory.remove(&path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
