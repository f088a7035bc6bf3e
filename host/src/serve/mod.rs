//! Handlers at work: which there are, and what becomes of each one's module.

mod change;
mod desk;
mod kept;
mod loaded;
mod preview;
mod sink;
mod stage;
mod steward;
mod supervisor;
mod swap;
mod tell;
mod view;

use std::sync::Arc;

use handler_host_cluster::Options;
use handler_host_engine::{Memo, Runtime};
use handler_host_registry::{Access, Store};
use kube::Client;

use crate::probes::Gauges;

pub(crate) use desk::{Desk, Ending, Identity, Role};
pub(crate) use loaded::{Loaded, load};
pub(crate) use sink::Sink;
pub(crate) use steward::Steward;
pub(crate) use supervisor::{HandlerPlace, Supervisor};

/// What all handlers of this host share.
pub(crate) struct Host {
    pub(crate) client: Client,
    pub(crate) runtime: Runtime,
    pub(crate) memo: Arc<Memo>,
    /// Where good modules are kept; None where nothing can be.
    pub(crate) store: Option<Store>,
    pub(crate) access: Access,
    pub(crate) options: Options,
    /// Where it shows how it is.
    pub(crate) gauges: Gauges,
}
