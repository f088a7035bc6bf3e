use handler_host_cluster::resource::Handler;
use handler_host_core::{Refused, Settings};
use tokio::sync::{mpsc, watch};

/// What the supervisor tells a manager.
pub(crate) enum ManagerCommand {
    /// The Handler has these settings now, in this generation.
    Change(Box<Settings>, Option<i64>),
    /// The Handler was changed into one that cannot be served, in this generation. What it said before goes on.
    Refuse(Refused, Option<i64>),
}

/// What a manager is to do.
#[derive(Clone)]
pub(crate) enum Assignment {
    /// To keep the handler ready, and neither to serve nor to report.
    StandBy,
    /// To serve. The Handler as the cluster has it, unless it is not in the cluster.
    Lead(Option<Box<Handler>>),
    /// To end: the host stops.
    Stop,
    /// To end, since the handler is gone for good: its finalizer comes off its parents.
    Retire,
}

/// Where a manager gets what the supervisor tells it.
pub(crate) struct Mailbox {
    pub(crate) commands: mpsc::UnboundedReceiver<ManagerCommand>,
    pub(crate) assignment: watch::Receiver<Assignment>,
}

impl Assignment {
    /// Whether the manager is to end.
    pub(super) fn is_end(&self) -> bool {
        match self {
            Self::StandBy | Self::Lead(_) => false,
            Self::Stop | Self::Retire => true,
        }
    }
}
