//! Handlers as resources: how they are read from files.

mod files;
mod follow;

pub(crate) use files::read;
pub(crate) use follow::follow;
