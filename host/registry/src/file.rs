mod links;
mod source;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::LARGEST;
pub(crate) use source::{FileSource, fetch_file};

/// A module as a command finds it.
#[derive(Clone, Debug)]
pub struct Module {
    /// The name its file suggests for the handler: the file's stem as a DNS label.
    pub suggested_name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why a command cannot read a module.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("module {} cannot be read: {}; check the path, or build it with `just build-guest`", path.display(), reason(cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is larger than any module should be.
    #[error("module {} is larger than {} MiB; name a WebAssembly component", path.display(), LARGEST >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a module from a file, once, for a command.
///
/// # Errors
///
/// When the file cannot be read or is too large.
pub fn read_file(path: &Path) -> Result<Module, ReadError> {
    let unreadable = |cause| ReadError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = read(file).map_err(unreadable)?;
    let Some(bytes) = bytes else {
        let path = path.to_owned();
        return Err(ReadError::TooLarge { path });
    };
    Ok(Module {
        suggested_name: suggested_name(path),
        bytes,
    })
}

/// All of a file; None when that is more than any module has.
fn read(file: File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= LARGEST).then_some(bytes))
}

/// The name that a file suggests for the handler in it: its stem as a DNS label.
#[must_use]
pub fn suggested_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.to_lowercase().replace(['_', '.', ' '], "-")
}

/// The system's words without the number behind them.
pub(crate) fn reason(cause: &io::Error) -> String {
    let told = [
        (io::ErrorKind::NotFound, "there is no such file"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::IsADirectory, "it is a directory"),
        (io::ErrorKind::NotADirectory, "there is no such directory"),
    ];
    let known = told.iter().find(|(kind, _)| *kind == cause.kind());
    known.map_or_else(|| cause.to_string(), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_suggests_its_stem_as_the_handlers_name() {
        assert_eq!(
            suggested_name(Path::new("/modules/Guest_Evc.wasm")),
            "guest-evc"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_reason() {
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
