//! Fixtures of the suites: a real control plane, the real `handler-host` as a child, and what to look at.
//!
//! A suite starts with [`ControlPlane::shared`] and a [`Namespace`] of its own, runs an [`Operator`]
//! there, waits with [`eventually`], and counts requests in the [`Audit`] log. Fixtures panic with
//! what they saw: a test has nothing better to do with their errors.

pub mod audit;
pub mod child;
pub mod claims;
pub mod control_plane;
pub mod deployed;
pub mod handler_host;
pub mod handlers;
pub mod hostile;
pub mod identity;
pub mod images;
pub mod kubectl;
pub mod manifest;
pub mod namespace;
pub mod node;
pub mod objects;
pub mod operator;
pub mod paths;
pub mod probes;
pub mod registry;
pub mod relay;
pub mod server;
pub mod servers;
pub mod shell;
pub mod variants;
pub mod wait;

pub use audit::{Audit, Entries, Entry, Mark};
pub use claims::{Claims, DEADLINE};
pub use control_plane::ControlPlane;
pub use handler_host::{Output, handler_host};
pub use hostile::{Hostile, Manner};
pub use identity::Identity;
pub use kubectl::kubectl;
pub use namespace::Namespace;
pub use node::{Container, Node};
pub use objects::{evc, puppet};
pub use operator::{Operator, Usage};
pub use probes::{LISTEN, Probes};
pub use registry::Registry;
pub use relay::Relay;
pub use variants::{variant, write_atomically};
pub use wait::eventually;
