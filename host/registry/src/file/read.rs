use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use handler_host_core::FetchedModule;
use rustix::fs::OFlags;

use crate::fetched::fetched;
use crate::{FetchError, LARGEST};

/// Reads a module from a file, once, for a command. Blocks.
///
/// # Errors
///
/// When the file is not a regular file, cannot be read or is too large.
pub fn read_file(path: &Path) -> Result<FetchedModule, FetchError> {
    let unreadable = |cause: io::Error| FetchError::Unreadable {
        path: path.to_owned(),
        reason: reason(&cause),
    };
    let (file, metadata) = open(path).map_err(unreadable)?;
    let origin = path.display().to_string();
    match read(file, &metadata, LARGEST).map_err(unreadable)? {
        Some(bytes) => fetched(bytes.into(), origin, None),
        None => Err(FetchError::TooLarge { origin }),
    }
}

/// Reads a text from a regular file of at most so many bytes. Blocks, but waits for nobody.
///
/// # Errors
///
/// When it is not a regular file, cannot be read, is larger, or is not UTF-8. The error holds nothing of the file.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let (file, metadata) = open(path)?;
    let Some(bytes) = read(file, &metadata, limit)? else {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB",
            limit >> 20
        )));
    };
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text in UTF-8"))
}

/// Opens a regular file. What is looked at is what was opened, so that it does not matter what took its place since.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    open_with(path, OFlags::empty())
}

/// As [`open`], with more flags.
pub(crate) fn open_with(path: &Path, more: OFlags) -> io::Result<(File, Metadata)> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(harmless(more))
        .open(path);
    let file = opened.map_err(|cause| {
        // A socket cannot be opened, and the system's words for that name nothing.
        let found = fs::metadata(path).ok().map(|found| found.file_type());
        match found.filter(FileType::is_socket) {
            Some(socket) => io::Error::other(kind_of(socket)),
            None => cause,
        }
    })?;
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok((file, metadata)),
        false => Err(io::Error::other(kind_of(metadata.file_type()))),
    }
}

/// A path by which this process can open what it has open already, whatever its name is by now.
#[must_use]
pub fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Flags with which nothing is done but to open: a pipe is not waited for, and no terminal becomes that of this process. The
/// standard library closes what it opens when another program is run.
pub(crate) fn harmless(more: OFlags) -> i32 {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | more;
    flags.bits().cast_signed()
}

/// What is not a regular file, in words.
fn kind_of(found: FileType) -> &'static str {
    if found.is_dir() {
        "it is a directory"
    } else if found.is_fifo() {
        "it is a pipe, not a regular file"
    } else if found.is_socket() {
        "it is a socket, not a regular file"
    } else {
        "it is a device, not a regular file"
    }
}

/// Reads all of a file. It is None if the file is larger than the limit.
pub(crate) fn read(file: File, metadata: &Metadata, limit: u64) -> io::Result<Option<Vec<u8>>> {
    if metadata.len() > limit {
        return Ok(None);
    }
    let room = usize::try_from(metadata.len()).unwrap_or_default();
    // One byte more, so that reading ends without growing it.
    let mut bytes = Vec::with_capacity(room.saturating_add(1));
    // It may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Why a file cannot be read, in the words of the system, without the error number behind them.
#[must_use]
pub fn reason(cause: &io::Error) -> String {
    let known = [
        (io::ErrorKind::NotFound, "there is no such file"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::IsADirectory, "it is a directory"),
        (io::ErrorKind::NotADirectory, "there is no such directory"),
    ];
    let known = known.iter().find(|(kind, _)| *kind == cause.kind());
    known.map_or_else(|| cause.to_string(), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rstest::rstest;
    use rustix::fs::{CWD, FileType as NodeType, Mode, mknodat};

    use super::*;

    #[rstest]
    #[case::missing("missing", "there is no such file")]
    #[case::directory("directory", "it is a directory")]
    #[case::pipe("pipe", "it is a pipe, not a regular file")]
    #[case::socket("socket", "it is a socket, not a regular file")]
    #[case::device("/dev/zero", "it is a device, not a regular file")]
    fn what_cannot_be_read_is_named_at_once(#[case] name: &str, #[case] told: &str) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        mknodat(CWD, at("pipe"), NodeType::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let error = read_file(&at(name)).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{name} cannot be read: {told}")),
            "{error}"
        );
        let error = read_text(&at(name), 1).unwrap_err();
        assert_eq!(reason(&error), told);
    }

    #[rstest]
    #[case::that_is_too_large(b"four", "it is larger than 0 MiB")]
    #[case::that_is_no_text(b"\xff\xfe", "it is not text in UTF-8")]
    fn a_text_is_refused(#[case] content: &[u8], #[case] told: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, content).unwrap();
        assert_eq!(read_text(&path, 3).unwrap_err().to_string(), told);
    }
}
