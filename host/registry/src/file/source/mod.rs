use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use handler_host_core::Digest;
use notify_debouncer_mini::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_mini::{DebounceEventResult, Debouncer, new_debouncer};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::links::directories;
use super::{read, reason};
use crate::{FetchError, Fetched, LARGEST, Patience};

/// A file, looked at whenever something happens near it.
pub(crate) struct FileSource {
    path: PathBuf,
    pinned: Option<Digest>,
    patience: Patience,
    wake: Arc<Notify>,
    /// None while a look has it, and after one that came to grief.
    watch: Option<Watch>,
    /// What was read last; a file that is still the same is not read again.
    seen: Option<Stamp>,
    /// How long until the next look, if nothing happens.
    wait: Duration,
}

impl FileSource {
    pub(crate) fn new(path: PathBuf, pinned: Option<Digest>, patience: Patience) -> Self {
        Self {
            path,
            pinned,
            patience,
            wake: Arc::default(),
            watch: None,
            seen: None,
            wait: Duration::ZERO,
        }
    }

    /// What the file holds, as soon as that is known anew.
    pub(crate) async fn next(&mut self) -> Result<Fetched, FetchError> {
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep(self.wait) => {}
            }
            self.wait = self.patience.look;
            match self.look().await? {
                Look::Same => {}
                Look::Unsettled => self.wait = self.patience.quiet,
                Look::Read { outcome, stamp } => {
                    self.seen = stamp;
                    return outcome;
                }
            }
        }
    }

    async fn look(&mut self) -> Result<Look, FetchError> {
        let (wake, quiet) = (self.wake.clone(), self.patience.quiet);
        let mut watch = self.watch.take().unwrap_or_else(|| Watch::new(wake, quiet));
        let (path, pinned, seen) = (self.path.clone(), self.pinned, self.seen);
        let looked = spawn_blocking(move || {
            // Before the look: what happens after it is heard of.
            watch.renew(&path);
            let look = look(&path, pinned, seen, quiet);
            (watch, look)
        });
        let (watch, look) = looked.await.map_err(|_| lost(&self.path))?;
        self.watch = Some(watch);
        Ok(look)
    }
}

/// What the file holds now.
pub(crate) async fn fetch_file(
    path: &Path,
    pinned: Option<Digest>,
    patience: Patience,
) -> Result<Fetched, FetchError> {
    let settled = async {
        loop {
            let path = path.to_owned();
            let looked = spawn_blocking(move || look(&path, pinned, None, patience.quiet));
            match looked.await {
                Ok(Look::Read { outcome, .. }) => return Some(outcome),
                Ok(Look::Same | Look::Unsettled) => sleep(patience.quiet).await,
                Err(_) => return None,
            }
        }
    };
    match timeout(patience.whole, settled).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(lost(path)),
        Err(_) => Err(unreadable(path, "it is being written to all the time")),
    }
}

/// What a look at a file came to.
enum Look {
    /// It is the file that was read before.
    Same,
    /// Somebody writes to it.
    Unsettled,
    /// What was read, and of which file: None if a next look might say something else of the same file.
    Read {
        outcome: Result<Fetched, FetchError>,
        stamp: Option<Stamp>,
    },
}

/// Blocks.
fn look(path: &Path, pinned: Option<Digest>, seen: Option<Stamp>, quiet: Duration) -> Look {
    let refused = |error| Look::Read {
        outcome: Err(error),
        stamp: None,
    };
    let failed = |cause: io::Error| refused(unreadable(path, &reason(&cause)));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(cause) => return failed(cause),
    };
    let stamp = Stamp::of(&metadata);
    if seen == Some(stamp) {
        return Look::Same;
    }
    if metadata.is_dir() {
        return refused(unreadable(path, "it is a directory"));
    }
    if !metadata.is_file() {
        // Opening a pipe would wait for whoever writes to it.
        return refused(unreadable(path, "it is no regular file"));
    }
    let origin = path.display().to_string();
    if metadata.len() > LARGEST {
        return refused(FetchError::TooLarge { origin });
    }
    if !is_settled(&metadata, quiet) {
        return Look::Unsettled;
    }
    let whole = match File::open(path).and_then(read) {
        Ok(whole) => whole,
        Err(cause) => return failed(cause),
    };
    if fs::metadata(path).map(|metadata| Stamp::of(&metadata)).ok() != Some(stamp) {
        return Look::Unsettled;
    }
    Look::Read {
        outcome: match whole {
            Some(bytes) => Fetched::of(bytes.into(), origin, pinned),
            None => Err(FetchError::TooLarge { origin }),
        },
        stamp: Some(stamp),
    }
}

/// Whether nobody wrote to it for a while: half a module is none. A time that is yet to come says nothing.
fn is_settled(metadata: &Metadata, quiet: Duration) -> bool {
    let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    written.elapsed().map_or(true, |elapsed| elapsed >= quiet)
}

fn unreadable(path: &Path, reason: &str) -> FetchError {
    FetchError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn lost(path: &Path) -> FetchError {
    FetchError::Lost {
        origin: path.display().to_string(),
    }
}

/// What tells one state of a file from the next without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    written: (i64, i64),
    /// A write that keeps the time of the one before does not keep this one.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Hears of what happens in some directories.
struct Watch {
    /// None where the system gives no watches; then the file is only looked at now and then.
    debouncer: Option<Debouncer<RecommendedWatcher>>,
    directories: BTreeSet<PathBuf>,
}

impl Watch {
    fn new(wake: Arc<Notify>, quiet: Duration) -> Self {
        let debouncer = new_debouncer(quiet, move |_: DebounceEventResult| wake.notify_one());
        if let Err(error) = &debouncer {
            tracing::warn!(
                "changes of files are noticed late: {error}; raise fs.inotify.max_user_instances"
            );
        }
        Self {
            debouncer: debouncer.ok(),
            directories: BTreeSet::new(),
        }
    }

    /// Watches what leads to the path now. A directory may be another one under its old name, so none is
    /// taken for watched already.
    fn renew(&mut self, path: &Path) {
        let Some(debouncer) = &mut self.debouncer else {
            return;
        };
        let watcher = debouncer.watcher();
        loop {
            for directory in &self.directories {
                // It went, most likely, and its watch with it.
                let _ = watcher.unwatch(directory);
            }
            self.directories = directories(path);
            for directory in &self.directories {
                if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                    tracing::debug!("{} is not watched: {error}", directory.display());
                }
            }
            // A link that changed meanwhile was perhaps not heard of.
            if directories(path) == self.directories {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
