//! The manifests of `host/deploy`.

mod base;
mod example;

pub use self::base::deployed;
pub use self::example::ExampleManifests;
