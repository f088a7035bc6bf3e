mod follow;
mod links;
mod observe;
mod read;
mod stamp;
mod watch;

pub use read::{path_of, read_file, read_text, reason};
pub use stamp::FileStamp;

pub(crate) use follow::{FileFollower, fetch_file};
pub(crate) use read::{harmless, open_with, read};

#[cfg(test)]
mod tests;
