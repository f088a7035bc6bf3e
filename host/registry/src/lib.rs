//! Where handler components come from, and where they are pushed to.
//!
//! A [`ModuleSource`](handler_host_core::ModuleSource) names a file, an entry of a ConfigMap or an OCI
//! image. [`fetch`] reads it once. [`follow`] is a stream of its changes. [`push`] makes an image of a module. A
//! [`Store`] keeps the last good module of each handler over a restart.
//!
//! This crate does not look into a module. Whether its bytes are a handler is decided by the engine.

mod access;
mod config_map;
mod error;
mod fetched;
mod file;
mod follow;
mod image;
mod kube_problem;
mod store;

pub use access::{Access, Patience};
pub use error::{FetchError, PushError, RegistryProblem};
pub use file::{FileStamp, path_of, read_file, read_text, reason};
pub use follow::{fetch, follow};
pub use image::{ComponentInfo, ModuleLayer, PushOptions, Pushed, install_tls, module_layer, push};
pub use store::{Store, StoreError};

/// The largest module that is read, in bytes. It is twice the size of the largest that any known toolchain makes.
pub const LARGEST: u64 = 256 << 20;
