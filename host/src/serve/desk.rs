use handler_host_cluster::resource::HandlerStatus;
use handler_host_core::{Digest, Settings};
use handler_host_registry::Rejected;
use tokio::sync::{mpsc, watch};

use super::Sink;
use super::loaded::Refused;

/// Whether a handler is one of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// What is wrong with it ends the host.
    Only,
    /// What is wrong with it is told, and the others go on.
    OneOfMany,
}

/// What somebody says to a steward.
pub(crate) enum Order {
    /// Its settings are these now, in this generation of its Handler.
    Change(Box<Settings>, Option<i64>),
    /// Its Handler was changed into something that will not do; what was said before goes on.
    Refuse(Refused, Option<i64>),
}

/// Whether a steward is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is to go on.
    #[default]
    No,
    /// The host stops, or another one serves from now on.
    Stop,
    /// The handler is gone for good: its parents are let go.
    Retire,
}

/// Which Handler a steward looks after; of a file's, or of none, nothing of this is known.
#[derive(Default)]
pub(crate) struct Identity {
    pub(crate) uid: Option<String>,
    pub(crate) generation: Option<i64>,
    /// What its status says.
    pub(crate) status: Option<HandlerStatus>,
}

/// What a steward is told, and where it tells how things stand.
pub(crate) struct Desk {
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) ending: watch::Receiver<Ending>,
    pub(crate) sink: Sink,
    /// The arguments with which `handler-host rbac` prints what it needs.
    pub(crate) asked_of_rbac: String,
}

/// The module that was rolled back under the present spec, as the Handler's status says: that outlives the
/// state directory.
pub(super) fn rejected(identity: &Identity, spec: Digest) -> Option<Rejected> {
    let status = identity.status.as_ref()?;
    let is_of_now = status.observed_generation == identity.generation;
    let rolled_back = status.rolled_back.as_ref().filter(|_| is_of_now)?;
    Some(Rejected {
        digest: rolled_back.digest.parse().ok()?,
        good: rolled_back.to.parse().ok(),
        spec,
        error: rolled_back.error.clone(),
    })
}

/// Under what a handler's modules are kept.
pub(super) fn key(name: &str, uid: Option<&str>) -> String {
    match uid {
        Some(uid) => format!("{name}.{uid}"),
        None => name.to_owned(),
    }
}
