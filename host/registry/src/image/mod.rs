//! Modules as images of OCI registries: pulled, followed and pushed, by one client with bounds on all that a
//! registry sends.

mod authorities;
mod credentials;
mod destination;
mod follow;
mod keyring;
mod manifest;
mod pull;
mod push;
mod reference;
mod session;
mod spool;
mod token;
mod transport;

pub use manifest::{ModuleLayer, module_layer};
pub use push::{ComponentInfo, PushOptions, Pushed, push};
pub use transport::install_tls;

pub(crate) use follow::ImageFollower;
pub(crate) use pull::fetch_image;
