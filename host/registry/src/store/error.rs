use std::path::PathBuf;

/// Why a store cannot keep or return something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be used.
    #[error("state directory {}: {} cannot be {deed}: {reason}; name a directory on a disk with space that this user may write to", directory.display(), path.display())]
    Unusable {
        /// The store's directory.
        directory: PathBuf,
        /// The file or directory in it.
        path: PathBuf,
        /// What could not be done with it.
        deed: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// Others may write to the directory.
    #[error("state directory {}: {problem}, and a user who can write to it decides which module runs; {remedy}, or name another directory with --state-dir", directory.display())]
    Unsafe {
        /// The directory, or the directory in it that is unsafe.
        directory: PathBuf,
        /// Who may write to it.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// Another host works on the directory for too long.
    #[error("state directory {} is in use by another host, which does not release it; give each host its own --state-dir", directory.display())]
    Busy {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The key is that of no handler.
    #[error(
        "{0:?} cannot be the key of a handler in the state directory; use at most 120 of a-z, 0-9, `-` and `.`, and do not begin or end with a dot, or write two in a row"
    )]
    Key(String),
}
