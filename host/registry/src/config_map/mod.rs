mod follow;
mod place;
mod watch;

pub(crate) use follow::ConfigMapFollower;
pub(crate) use place::ConfigMapPlace;
