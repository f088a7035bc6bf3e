use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use handler_host_core::FetchedModule;

use crate::fetched::fetched;
use crate::{FetchError, LARGEST};

/// Reads a module from a file, once, for a command. Blocks.
///
/// # Errors
///
/// When the file cannot be read or is too large.
pub fn read_file(path: &Path) -> Result<FetchedModule, FetchError> {
    let unreadable = |cause: io::Error| FetchError::Unreadable {
        path: path.to_owned(),
        reason: reason(&cause),
    };
    let file = File::open(path).map_err(unreadable)?;
    let origin = path.display().to_string();
    match read(file).map_err(unreadable)? {
        Some(bytes) => fetched(bytes.into(), origin, None),
        None => Err(FetchError::TooLarge { origin }),
    }
}

/// Reads all of a file. It is None if the file is larger than any module.
pub(super) fn read(file: File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= LARGEST).then_some(bytes))
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
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("evc.wasm");
        let error = read_file(&missing).unwrap_err().to_string();
        assert!(
            error.contains("evc.wasm cannot be read: there is no such file"),
            "{error}"
        );
        let error = read_file(folder.path()).unwrap_err().to_string();
        assert!(error.contains("it is a directory"), "{error}");
    }
}
