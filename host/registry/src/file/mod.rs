mod follow;
mod links;
mod observe;
mod read;
mod watch;

pub use read::{read_file, reason};

pub(crate) use follow::{FileFollower, fetch_file};

#[cfg(test)]
mod tests;
