use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::OFlags;

use super::error::StoreError;
use super::owner;
use crate::LARGEST;
use crate::file::{harmless, open_with, reason};

/// The prefix of a file's name until the file is complete.
pub(super) const UNFINISHED: &str = ".new-";

/// How long another host may work on the directory. Its work usually takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// The files of a store.
#[derive(Clone, Debug)]
pub(super) struct StoreDirectory {
    pub(super) path: PathBuf,
    /// The threads of this process take turns here. So a thread that waits for a slow disk in this process is not
    /// reported as one that waits for another host.
    turn: Arc<Mutex<()>>,
    pub(super) patience: Duration,
}

/// The right to work on the directory, while it is held. The system releases it if the host dies.
pub(super) struct Hold<'a> {
    _file: File,
    _turn: MutexGuard<'a, ()>,
}

impl StoreDirectory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            turn: Arc::default(),
            patience: PATIENCE,
        }
    }

    pub(super) fn hold(&self) -> Result<Hold<'_>, StoreError> {
        // The time begins before this thread has its turn. Otherwise each thread would wait anew for a host that
        // hangs.
        let until = Instant::now() + self.patience;
        let turn = self.turn.lock();
        let path = self.path.join("lock");
        let unusable = |cause| self.unusable(&path, "locked", &cause);
        let mut options = unlinked();
        let options = options.create(true).write(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(unusable)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(BETWEEN_TRIES),
                Err(TryLockError::WouldBlock) => {
                    let directory = self.path.clone();
                    return Err(StoreError::Busy { directory });
                }
                Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
            }
        }
        Ok(Hold {
            _file: file,
            _turn: turn,
        })
    }

    pub(super) fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let entries = fs::read_dir(directory).and_then(|entries| {
            let paths = entries.map(|entry| Ok(entry?.path()));
            paths.collect::<io::Result<Vec<_>>>()
        });
        entries.map_err(|cause| self.unusable(directory, "read", &cause))
    }

    /// Reads a file. It is None if there is no such file.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        match read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.unusable(path, "read", &cause)),
        }
    }

    /// Replaces a file in one step. A reader finds the old file or the new one, also after a crash.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let directory = path.parent().unwrap_or(&self.path);
        let unfinished = directory.join(format!("{UNFINISHED}{}", name_of(path)));
        // This is left from a write that failed, or it is a link that would lead this write elsewhere.
        self.remove(&unfinished)?;
        let mut options = OpenOptions::new();
        let options = options.create_new(true).write(true).mode(0o600);
        let written = options.open(&unfinished).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            File::open(directory)?.sync_all()
        });
        written.map_err(|cause| {
            let _ = fs::remove_file(&unfinished);
            self.unusable(path, "written", &cause)
        })
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(self.unusable(path, "removed", &cause))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn unusable(&self, path: &Path, deed: &'static str, cause: &io::Error) -> StoreError {
        unusable(&self.path, path, deed, cause)
    }
}

pub(super) fn unusable(
    directory: &Path,
    path: &Path,
    deed: &'static str,
    cause: &io::Error,
) -> StoreError {
    let below = match path.strip_prefix(directory) {
        Ok(below) if below == Path::new("") => Path::new("it"),
        Ok(below) => below,
        Err(_) => path,
    };
    StoreError::Unusable {
        directory: directory.to_owned(),
        path: below.to_owned(),
        deed,
        reason: reason(cause),
    }
}

/// Reads a file that nobody else can have written.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (file, metadata) = open_with(path, OFlags::NOFOLLOW)?;
    owner::check_file(&metadata).map_err(io::Error::other)?;
    let whole = crate::file::read(file, &metadata, LARGEST)?;
    whole.ok_or_else(|| io::Error::other("it is larger than any that this host writes"))
}

pub(super) fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// Opening a link is an error.
fn unlinked() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(harmless(OFlags::NOFOLLOW));
    options
}
