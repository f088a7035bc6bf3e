//! Where handler components come from.
//!
//! Today from files. A [`Module`] is bytes and a name; whether the bytes are a handler is for the engine
//! to say.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest module that is read: twice what the largest known toolchain makes, far below what would
/// hurt.
const LARGEST: u64 = 256 << 20;

/// A module as it was found.
#[derive(Clone, Debug)]
pub struct Module {
    /// The name its file suggests for the handler: the file's stem as a DNS label.
    pub suggested_name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why a module could not be read.
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

/// Reads a module from a file.
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
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        let path = path.to_owned();
        return Err(ReadError::TooLarge { path });
    }
    let suggested_name = suggested_name(path);
    Ok(Module {
        suggested_name,
        bytes,
    })
}

fn suggested_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.to_lowercase().replace(['_', '.', ' '], "-")
}

/// The system's words without the number behind them.
fn reason(cause: &io::Error) -> String {
    let told = [
        (io::ErrorKind::NotFound, "there is no such file"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::IsADirectory, "it is a directory"),
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
