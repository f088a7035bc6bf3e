use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use handler_host_core::{Digest, FetchedModule};

use super::read::{read, reason};
use crate::fetched::fetched;
use crate::{FetchError, LARGEST};

/// What one look at a file found.
pub(super) enum FileObservation {
    /// The file is in the state in which it was read before.
    Same,
    /// It is being written to.
    Unsettled,
    /// It was read, or cannot be. `stamp` is the state that was read. It is None if another look at the same
    /// state can have another outcome.
    Read {
        outcome: Result<FetchedModule, FetchError>,
        stamp: Option<FileStamp>,
    },
}

/// Looks at a file, and reads it unless it is in the state `seen`. Blocks.
pub(super) fn observe(
    path: &Path,
    pinned: Option<Digest>,
    seen: Option<FileStamp>,
    quiet: Duration,
) -> FileObservation {
    let refused = |error| FileObservation::Read {
        outcome: Err(error),
        stamp: None,
    };
    let failed = |cause: io::Error| refused(unreadable(path, &reason(&cause)));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(cause) => return failed(cause),
    };
    let stamp = FileStamp::of(&metadata);
    if seen == Some(stamp) {
        return FileObservation::Same;
    }
    if metadata.is_dir() {
        return refused(unreadable(path, "it is a directory"));
    }
    if !metadata.is_file() {
        // Opening a pipe would wait until another process writes to it.
        return refused(unreadable(path, "it is not a regular file"));
    }
    let origin = path.display().to_string();
    if metadata.len() > LARGEST {
        return refused(FetchError::TooLarge { origin });
    }
    if !is_settled(&metadata, quiet) {
        return FileObservation::Unsettled;
    }
    let whole = match File::open(path).and_then(read) {
        Ok(whole) => whole,
        Err(cause) => return failed(cause),
    };
    if fs::metadata(path)
        .map(|metadata| FileStamp::of(&metadata))
        .ok()
        != Some(stamp)
    {
        return FileObservation::Unsettled;
    }
    FileObservation::Read {
        outcome: match whole {
            Some(bytes) => fetched(bytes.into(), origin, pinned),
            None => Err(FetchError::TooLarge { origin }),
        },
        stamp: Some(stamp),
    }
}

/// Whether the last write is long enough ago that the file is most likely complete. A time in the future tells
/// nothing, so the file counts as complete.
fn is_settled(metadata: &Metadata, quiet: Duration) -> bool {
    let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    written.elapsed().map_or(true, |elapsed| elapsed >= quiet)
}

pub(super) fn unreadable(path: &Path, reason: &str) -> FetchError {
    FetchError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    written: (i64, i64),
    /// A write can keep the modification time, but not this time.
    changed: (i64, i64),
}

impl FileStamp {
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
