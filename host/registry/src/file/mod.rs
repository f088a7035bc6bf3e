mod follow;
mod links;
mod observe;
mod read;
mod watch;

pub use read::{read_file, reason, suggested_name};

pub(crate) use follow::{FileFollower, fetch_file};

#[cfg(test)]
mod tests;
