//! Handlers at work.
//!
//! The [`Supervisor`] looks after all handlers of this host, wherever they are declared: as Handlers in the
//! cluster or in files, or by `--module`. Each has a [`HandlerManager`](manager) of its own, whether this host leads
//! or stands by. What a manager does about modules, `handler_host_core::Rollout` decides.

mod declared;
mod manager;
mod modules;
mod reporter;
mod rights;
mod stage;
mod supervisor;

use std::sync::Arc;

use handler_host_cluster::{ObjectMemory, RelatedWatches, ServingOptions};
use handler_host_engine::{Memo, Runtime};
use handler_host_registry::{Access, Store};

use crate::client::Clients;
use crate::probes::Monitoring;

pub(crate) use declared::{DeclaredHandler, HandlerOrigin};
pub(crate) use modules::load;
pub(crate) use rights::quoted;
pub(crate) use supervisor::Supervisor;

/// What all handlers of this host share.
pub(crate) struct HostContext {
    pub(crate) clients: Clients,
    pub(crate) runtime: Runtime,
    pub(crate) memo: Arc<Memo>,
    pub(crate) object_memory: ObjectMemory,
    pub(crate) related: RelatedWatches,
    /// Where good modules are kept; None where nothing can be written.
    pub(crate) store: Option<Store>,
    pub(crate) access: Access,
    pub(crate) options: ServingOptions,
    pub(crate) monitoring: Monitoring,
}
