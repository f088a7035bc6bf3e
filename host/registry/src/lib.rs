//! Where handler components come from, and where they go.
//!
//! A [`ModuleSource`](handler_host_core::ModuleSource) names a file, an entry of a ConfigMap or an OCI
//! image. [`fetch`] reads it once, [`follow`] tells of each change for as long as it is polled, [`push`]
//! makes an image of a module. A [`Store`] keeps the last good module of each handler over a restart.
//! Whether bytes are a handler is for the engine to say.

mod access;
mod config_map;
mod error;
mod fetched;
mod file;
mod follow;
mod image;
mod push;
mod store;

pub use access::{Access, Patience};
pub use error::{FetchError, PushError, RegistryProblem};
pub use fetched::Fetched;
pub use file::{read_file, reason, suggested_name};
pub use follow::{fetch, follow};
pub use image::install_tls;
pub use push::{ComponentInfo, PushOptions, Pushed, push};
pub use store::{Kept, Rejected, Store, StoreError};

/// The largest module that is read: twice what the largest known toolchain makes, far below what would
/// hurt.
pub const LARGEST: u64 = 256 << 20;
