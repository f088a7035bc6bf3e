use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify_debouncer_mini::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_mini::{DebounceEventResult, Debouncer, new_debouncer};
use tokio::sync::Notify;

use super::links::directories;

/// Reports changes in the directories on the way to a file.
pub(super) struct DirectoryWatch {
    /// It is None if the system gives no watches. Then the file is only checked at intervals.
    debouncer: Option<Debouncer<RecommendedWatcher>>,
    directories: BTreeSet<PathBuf>,
}

impl DirectoryWatch {
    pub(super) fn new(wake: Arc<Notify>, quiet: Duration) -> Self {
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

    /// Watches the directories that lead to the path now. All watches are made again, because another directory
    /// may have taken the name of a watched one.
    pub(super) fn renew(&mut self, path: &Path) {
        let Some(debouncer) = &mut self.debouncer else {
            return;
        };
        let watcher = debouncer.watcher();
        loop {
            for directory in &self.directories {
                // An error most likely means that the directory is gone, and its watch with it.
                let _ = watcher.unwatch(directory);
            }
            self.directories = directories(path);
            for directory in &self.directories {
                if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                    tracing::debug!("{} is not watched: {error}", directory.display());
                }
            }
            // A link may have changed before it was watched.
            if directories(path) == self.directories {
                return;
            }
        }
    }
}
