//! A real node with real Pods, their containers as the kernel sees them, and the host in such Pods.

mod container;
pub mod deployed_host;
pub mod pods;
mod shared;

pub use self::container::{Container, Memory};
pub use self::shared::Node;
