//! Reads Handler resources from files, and follows the changes of these files.

mod files;
mod follow;

pub(crate) use files::read;
pub(crate) use follow::follow;
