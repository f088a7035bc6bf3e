use std::path::PathBuf;

/// Why a store does not keep or give what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be used.
    #[error("state directory {}: {} cannot be {deed}: {reason}; name a directory on a disk with space that this user may write to", directory.display(), path.display())]
    Unusable {
        /// The store's directory.
        directory: PathBuf,
        /// What is in it.
        path: PathBuf,
        /// What was to be done with it.
        deed: &'static str,
        /// Why that failed.
        reason: String,
    },
    /// Others may write to the directory.
    #[error("state directory {}: {problem}, and whoever writes to it decides which module runs; {remedy}, or name another directory with --state-dir", directory.display())]
    Unsafe {
        /// The directory, or the one in it that is meant.
        directory: PathBuf,
        /// Who may write to it.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// Somebody else works on the directory and does not come to an end.
    #[error("state directory {} is in use by another host, which does not let go of it; give each host its own --state-dir", directory.display())]
    Busy {
        /// The store's directory.
        directory: PathBuf,
    },
    /// The key is that of no handler.
    #[error(
        "{0:?} cannot be the key of a handler in the state directory; use at most 120 of a-z, 0-9, `-` and `.`, with something between dots, before and behind them"
    )]
    Key(String),
}
