mod entry;
mod follow;
mod watch;

pub(crate) use entry::ConfigMapEntry;
pub(crate) use follow::ConfigMapFollower;
