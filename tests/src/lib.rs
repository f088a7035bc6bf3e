//! Fixtures of the suites: a real control plane, the real `handler-host` as a child process, and what tests look at.
//!
//! A suite starts with [`ControlPlane::shared`] and a [`Namespace`] of its own, runs an [`Operator`]
//! there, waits with [`eventually`], and counts requests in the [`AuditLog`]. A fixture panics when
//! something fails that a test cannot handle, and the message says what it saw.
//!
//! | module | holds |
//! |---|---|
//! | [`objects`] | objects of Kubernetes as JSON, their kinds, manifests |
//! | [`programs`] | child processes: servers, and runs of `handler-host` |
//! | [`guests`] | variants of the guest `chameleon`, specs for the guest `puppet` |
//! | [`accounts`] | the users of the API server, their kubeconfigs and clients |
//! | [`audit`] | the audit log of the API server |
//! | [`servers`] | how the program `control-plane` starts the servers of a control plane and of a node |
//! | [`control_plane`] | a control plane for tests, and ways to reach it |
//! | [`deployment`] | the manifests of `host/deploy` |
//! | [`docs`] | the console blocks of the documents, and a shell session that runs them |
//! | [`registry`] | image registries |
//! | [`operator`] | a running host: its log, its HTTP endpoints, its traces, its memory |
//! | [`namespace`] | a namespace for each test, and the operators that serve it |
//! | [`node`] | a node with Pods, and the host in such Pods |

pub mod accounts;
pub mod audit;
pub mod control_plane;
pub mod deployment;
pub mod docs;
pub mod guests;
pub mod namespace;
pub mod node;
pub mod objects;
pub mod operator;
pub mod paths;
pub mod programs;
pub mod registry;
pub mod servers;
pub mod wait;

pub use accounts::TestAccount;
pub use audit::{AuditEntries, AuditEntry, AuditLog, Mark};
pub use control_plane::{ControlPlane, Relay, kubectl};
pub use guests::variants::{variant, write_atomically};
pub use namespace::{Hosted, Namespace, PuppetNamespace, VolumeClaims};
pub use node::{Container, Node};
pub use objects::{evc, puppet};
pub use operator::{LISTEN, Operator, ProbeClient};
pub use programs::handler_host::{Output, handler_host};
pub use registry::{HostileRegistry, Registry, RegistryBehaviour};
pub use wait::{DEADLINE, eventually};
