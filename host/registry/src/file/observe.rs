use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use handler_host_core::{Digest, FetchedModule};

use super::read::{open, read, reason};
use super::stamp::FileStamp;
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
    match fs::metadata(path) {
        Ok(found) if seen == Some(FileStamp::of(&found)) => return FileObservation::Same,
        Ok(_) => {}
        Err(cause) => return failed(cause),
    }
    let (file, metadata) = match open(path) {
        Ok(opened) => opened,
        Err(cause) => return failed(cause),
    };
    let stamp = FileStamp::of(&metadata);
    let origin = path.display().to_string();
    if metadata.len() > LARGEST {
        return refused(FetchError::TooLarge { origin });
    }
    if !is_settled(&metadata, quiet) {
        return FileObservation::Unsettled;
    }
    let whole = match read(file, &metadata, LARGEST) {
        Ok(whole) => whole,
        Err(cause) => return failed(cause),
    };
    let after = fs::metadata(path).map(|found| FileStamp::of(&found));
    if after.ok() != Some(stamp) {
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
