//! The servers that the program `control-plane` starts: those of a control plane, and those of a node.

mod control_plane;
mod environment;
mod health;
pub(crate) mod images;
mod node;
mod setup;
mod start;

pub use self::environment::NodeEnvironment;
pub use self::setup::{Purpose, ReadyControlPlane, Setup};
pub use self::start::Servers;
