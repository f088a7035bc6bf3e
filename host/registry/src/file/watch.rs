use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::thread;

use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::sync::Notify;

use super::links::steps_of;

/// What may put another file at a path, or change the file there.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// The watches of this process. A file costs a name in a map; a directory costs one watch, however many files in it are
/// followed, and all together one descriptor and one thread. That is None if the system gives no watches.
static WATCHES: LazyLock<Option<Arc<Watches>>> = LazyLock::new(Watches::start);

/// Directories that are watched, by the numbers that the system gives them. The system gives a directory that is watched
/// already the number that it has, and never gives a number twice.
struct Watches {
    inotify: OwnedFd,
    directories: Mutex<HashMap<i32, Names>>,
}

/// Who is woken when a name in a directory changes.
type Names = HashMap<OsString, Vec<Arc<Notify>>>;

/// A name in a watched directory.
type WatchedName = (i32, OsString);

/// Reports changes in the directories on the way to a file.
pub(super) struct PathWatch {
    wake: Arc<Notify>,
    names: Vec<WatchedName>,
}

impl PathWatch {
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        Self {
            wake,
            names: Vec::new(),
        }
    }

    /// Watches the names that lead to the path now. Another directory may have taken the name of a watched one, so each is
    /// asked for again.
    pub(super) fn renew(&mut self, path: &Path) {
        let Some(watches) = WATCHES.as_ref() else {
            return;
        };
        loop {
            let steps = steps_of(path);
            let names = steps.iter().filter_map(|(directory, name)| {
                let watched = watches.watch(directory, name, &self.wake);
                let problem = |error| {
                    tracing::debug!("{} is not watched: {error}", directory.display());
                };
                watched.map_err(problem).ok()
            });
            let before = std::mem::replace(&mut self.names, names.collect());
            watches.end(&before, &self.wake);
            // A link may have changed before it was watched.
            if steps_of(path) == steps {
                return;
            }
        }
    }
}

impl Drop for PathWatch {
    fn drop(&mut self) {
        if let Some(watches) = WATCHES.as_ref() {
            watches.end(&self.names, &self.wake);
        }
    }
}

impl Watches {
    fn start() -> Option<Arc<Self>> {
        let started = || {
            let watches = Arc::new(Self {
                inotify: inotify::init(CreateFlags::CLOEXEC)?,
                directories: Mutex::default(),
            });
            let watched = watches.clone();
            let thread = thread::Builder::new().name("files".to_owned());
            thread.spawn(move || watched.wake_for_ever())?;
            Ok(watches)
        };
        started()
            .inspect_err(|error: &std::io::Error| {
                tracing::warn!(
                    "changes of files are noticed late: {error}; raise fs.inotify.max_user_instances"
                );
            })
            .ok()
    }

    fn watch(
        &self,
        directory: &Path,
        name: &OsStr,
        wake: &Arc<Notify>,
    ) -> rustix::io::Result<WatchedName> {
        // The lock is held, so that the watch is not ended in between as one that nobody needs.
        let mut directories = self.directories.lock();
        let number = inotify::add_watch(&self.inotify, directory, CHANGES)?;
        let names = directories.entry(number).or_default();
        let woken = names.entry(name.to_owned()).or_default();
        woken.push(wake.clone());
        Ok((number, name.to_owned()))
    }

    fn end(&self, ended: &[WatchedName], wake: &Arc<Notify>) {
        let mut directories = self.directories.lock();
        for (number, name) in ended {
            let Some(names) = directories.get_mut(number) else {
                // The directory is gone, and its watch with it.
                continue;
            };
            if let Some(woken) = names.get_mut(name) {
                if let Some(index) = woken.iter().position(|it| Arc::ptr_eq(it, wake)) {
                    woken.swap_remove(index);
                }
                if woken.is_empty() {
                    names.remove(name);
                }
            }
            if names.is_empty() {
                directories.remove(number);
                // An error means that the directory has gone meanwhile.
                let _ = inotify::remove_watch(&self.inotify, *number);
            }
        }
    }

    fn wake_for_ever(&self) {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    let name = event.file_name();
                    let name = name.map(|name| OsStr::from_bytes(name.to_bytes()));
                    self.wake(event.wd(), event.events(), name);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!("changes of files are noticed late from now on: {error}");
                    return;
                }
            }
        }
    }

    fn wake(&self, number: i32, events: ReadFlags, name: Option<&OsStr>) {
        let mut directories = self.directories.lock();
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            // What happened is lost, so everybody looks.
            directories.values().for_each(wake_all);
            return;
        }
        let Some(names) = directories.get(&number) else {
            return;
        };
        match name {
            Some(name) => {
                let woken = names.get(name).into_iter().flatten();
                woken.for_each(|wake| wake.notify_one());
            }
            // The directory itself has gone, was moved, or has other rights.
            None => wake_all(names),
        }
        if events.contains(ReadFlags::IGNORED) {
            directories.remove(&number);
        }
    }
}

fn wake_all(names: &Names) {
    let woken = names.values().flatten();
    woken.for_each(|wake| wake.notify_one());
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn many_files_of_a_directory_share_its_watch_and_are_woken_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let watched = |name: String| {
            let wake = Arc::new(Notify::new());
            let mut watch = PathWatch::new(wake.clone());
            watch.renew(&folder.path().join(name));
            (wake, watch)
        };
        let files: Vec<_> = (0..100)
            .map(|number| watched(format!("{number}.wasm")))
            .collect();
        let mut numbers: Vec<_> = files
            .iter()
            .flat_map(|(_, watch)| &watch.names)
            .map(|(number, _)| *number)
            .collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 1);

        fs::write(folder.path().join("7.wasm"), "a").unwrap();
        timeout(SOON, files[7].0.notified()).await.unwrap();
        let others = files
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != 7)
            .map(|(_, (wake, _))| Box::pin(wake.notified()));
        let woken = timeout(
            Duration::from_millis(50),
            futures::future::select_all(others),
        );
        assert!(woken.await.is_err());

        let watches = WATCHES.as_ref().unwrap();
        let is_watched = || watches.directories.lock().contains_key(&numbers[0]);
        assert!(is_watched());
        drop(files);
        assert!(!is_watched());
    }
}
