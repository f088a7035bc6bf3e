use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handler_host_core::{Digest, FetchedModule};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::observe::{FileObservation, observe, unreadable};
use super::stamp::FileStamp;
use super::watch::PathWatch;
use crate::{FetchError, Patience};

/// Follows a file. It reads the file when a directory on its path changes, and at intervals.
pub(crate) struct FileFollower {
    path: PathBuf,
    pinned: Option<Digest>,
    patience: Patience,
    wake: Arc<Notify>,
    /// It is None while a thread uses it, and after that thread failed.
    watch: Option<PathWatch>,
    /// The state of the file that was read last. A file that is still in this state is not read again.
    seen: Option<FileStamp>,
    /// How long to wait before the next look, if no change is reported.
    wait: Duration,
}

impl FileFollower {
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

    /// The module that the file holds, or why it cannot be read, at the next look that finds something new.
    pub(crate) async fn next(&mut self) -> Result<FetchedModule, FetchError> {
        loop {
            tokio::select! {
                // Changes come in groups: one look is enough for those within a short time.
                () = self.wake.notified() => sleep(self.patience.quiet).await,
                () = sleep(self.wait) => {}
            }
            self.wait = self.patience.look;
            match self.observe().await? {
                FileObservation::Same => {}
                FileObservation::Unsettled => self.wait = self.patience.quiet,
                FileObservation::Read { outcome, stamp } => {
                    self.seen = stamp;
                    return outcome;
                }
            }
        }
    }

    async fn observe(&mut self) -> Result<FileObservation, FetchError> {
        let (wake, quiet) = (self.wake.clone(), self.patience.quiet);
        let watch = self.watch.take();
        let mut watch = watch.unwrap_or_else(|| PathWatch::new(wake));
        let (path, pinned, seen) = (self.path.clone(), self.pinned, self.seen);
        let observed = spawn_blocking(move || {
            // The watch comes first, so that a change after the look is reported.
            watch.renew(&path);
            let observation = observe(&path, pinned, seen, quiet);
            (watch, observation)
        });
        let (watch, observation) = observed.await.map_err(|_| lost(&self.path))?;
        self.watch = Some(watch);
        Ok(observation)
    }
}

/// Reads the module that the file holds now.
pub(crate) async fn fetch_file(
    path: &Path,
    pinned: Option<Digest>,
    patience: Patience,
) -> Result<FetchedModule, FetchError> {
    let settled = async {
        loop {
            let path = path.to_owned();
            let observed = spawn_blocking(move || observe(&path, pinned, None, patience.quiet));
            match observed.await {
                Ok(FileObservation::Read { outcome, .. }) => return Some(outcome),
                Ok(FileObservation::Same | FileObservation::Unsettled) => {
                    sleep(patience.quiet).await;
                }
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

fn lost(path: &Path) -> FetchError {
    FetchError::Lost {
        origin: path.display().to_string(),
    }
}
