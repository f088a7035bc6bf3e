//! Reads Handler resources from files, and follows the changes of these files.

mod file;
mod files;
mod find;
mod follow;

pub(crate) use files::{HandlerFiles, read};
pub(crate) use find::{find, serving};
pub(crate) use follow::follow;
