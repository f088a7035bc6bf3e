use std::sync::Arc;

use handler_host_core::{Checked, Children, Denied, Failure, Fault, Kind, Object, Response};
use serde_json::{Map, Value};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::invocation::{call, checked};
use super::running_module::RunningModule;
use crate::metrics::{CallOutcome, HandlerMetrics, LabelValue as _, TRACES};

/// What a module wants of a parent, within its grant.
pub(crate) struct Decision {
    pub(crate) response: Response,
    pub(crate) desired: Children<Checked>,
    pub(crate) status: Option<Map<String, Value>>,
}

/// Why a module gave nothing that may be applied.
pub(crate) enum Undecided {
    /// The call failed.
    Failed(Failure),
    /// The response was outside the grant.
    Denied(Denied),
}

/// Calls a module for a parent and checks its response. Writes nothing.
pub(crate) async fn decide(
    running: &RunningModule,
    parent: &Arc<Object>,
    observed: &[(Kind, Arc<Object>)],
    metrics: &HandlerMetrics,
) -> Result<Decision, Undecided> {
    tracing::debug!(handler = %running.grant.handler, object = %parent.key(), "calling the handler");
    let span = tracing::info_span!(
        target: TRACES, "invoke", digest = %running.digest().short(), outcome = Empty,
    );
    let (invoke, config) = (running.invoke.clone(), running.config.clone());
    let call = call(invoke, parent.clone(), observed, config);
    let (answer, effort) = call.instrument(span.clone()).await;
    let decided = answer.map_err(Undecided::Failed).and_then(|response| {
        let checked = checked(&response, parent, &running.grant);
        let (desired, status) = checked.map_err(Undecided::Denied)?;
        Ok(Decision {
            response,
            desired,
            status,
        })
    });
    let outcome = decided
        .as_ref()
        .map_or_else(CallOutcome::from, |_| CallOutcome::Answered);
    span.record("outcome", outcome.as_str());
    metrics.called(outcome, effort);
    decided
}

impl From<&Undecided> for CallOutcome {
    fn from(undecided: &Undecided) -> Self {
        match undecided {
            Undecided::Denied(_) => Self::Denied,
            Undecided::Failed(Failure::Permanent(_)) => Self::Permanent,
            Undecided::Failed(Failure::Temporary { .. }) => Self::Temporary,
            Undecided::Failed(Failure::Fault(Fault::Trap(_))) => Self::Trapped,
            Undecided::Failed(Failure::Fault(Fault::Deadline(_))) => Self::Deadline,
            Undecided::Failed(Failure::Fault(Fault::Memory(_))) => Self::Memory,
        }
    }
}
