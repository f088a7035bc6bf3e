//! Handlers at work: which there are, and what becomes of each one's module.

mod authorized;
mod change;
mod compiled;
mod desk;
mod kept;
mod loaded;
mod preview;
mod sink;
mod stage;
mod standby;
mod steward;
mod supervisor;
mod swap;
mod tell;
mod view;

use std::sync::Arc;

use handler_host_cluster::Options;
use handler_host_engine::{Memo, Runtime};
use handler_host_registry::{Access, Store};

use crate::client::Clients;
use crate::probes::Gauges;

pub(crate) use authorized::quoted;
pub(crate) use desk::{Desk, Ending, Identity, Role};
pub(crate) use loaded::{Loaded, load};
pub(crate) use sink::Sink;
pub(crate) use standby::Warm;
pub(crate) use steward::Steward;
pub(crate) use supervisor::{HandlerPlace, Supervisor};

/// What all handlers of this host share.
pub(crate) struct Host {
    pub(crate) clients: Clients,
    pub(crate) runtime: Runtime,
    pub(crate) memo: Arc<Memo>,
    /// Where good modules are kept; None where nothing can be.
    pub(crate) store: Option<Store>,
    pub(crate) access: Access,
    pub(crate) options: Options,
    /// Where it shows how it is.
    pub(crate) gauges: Gauges,
}
