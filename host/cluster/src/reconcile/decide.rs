use std::sync::Arc;

use handler_host_core::{Call, Decision, Effort, Failure, Fault, Kind, Object, Undecided};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::observe::seen_by;
use super::running_module::RunningModule;
use crate::metrics::{CallOutcome, HandlerMetrics, LabelValue as _, TRACES};

/// Up to this many bytes, a response is checked at once; a larger one in the handler's share of the processors.
const SMALL_RESPONSE: usize = 64 << 10;

/// Calls a module for a parent and checks its response. Writes nothing.
pub(crate) async fn decide(
    running: &Arc<RunningModule>,
    parent: &Arc<Object>,
    observed: &[(Kind, Arc<Object>)],
    metrics: &HandlerMetrics,
) -> Result<Decision, Undecided> {
    tracing::debug!(handler = %running.grant.handler, object = %parent.key(), "calling the handler");
    let span = tracing::info_span!(
        target: TRACES, "invoke", digest = %running.digest().short(), outcome = Empty,
    );
    let seen = seen_by(&running.grant, observed);
    let children: Vec<_> = seen.into_iter().cloned().collect();
    let (running, parent) = (running.clone(), parent.clone());
    // A guest may use its whole deadline; no async thread is to stand still that long.
    let deciding =
        tokio::task::spawn_blocking(move || call_and_check(&running, &parent, &children));
    let (decided, effort) = deciding
        .instrument(span.clone())
        .await
        .unwrap_or_else(|error| (Err(host_failure(&error)), Effort::Nothing));
    let outcome = CallOutcome::from(&decided);
    span.record("outcome", outcome.as_str());
    metrics.called(outcome, effort);
    decided
}

fn call_and_check(
    running: &Arc<RunningModule>,
    parent: &Arc<Object>,
    children: &[Arc<Object>],
) -> (Result<Decision, Undecided>, Effort) {
    let texts: Vec<&str> = children.iter().map(|child| child.text()).collect();
    let (answer, effort) = running.invoke.invoke_measured(&Call {
        object: &parent.key().to_string(),
        parent: parent.text(),
        children: &texts,
        config: &running.config,
    });
    let is_small = answer
        .as_ref()
        .map_or(true, |response| response.bytes() <= SMALL_RESPONSE);
    if is_small {
        return (Decision::of(answer, parent, &running.grant), effort);
    }
    let (tell, told) = std::sync::mpsc::channel();
    let (module, parent) = (running.clone(), parent.clone());
    running.invoke.work(Box::new(move || {
        // The receiver waits below.
        let _ = tell.send(Decision::of(answer, &parent, &module.grant));
    }));
    let decided = told.recv();
    let decided = decided.unwrap_or_else(|error| Err(host_failure(&error)));
    (decided, effort)
}

fn host_failure(error: &dyn std::error::Error) -> Undecided {
    Undecided::Failed(Failure::Temporary {
        message: format!("the host failed to run the handler ({error})"),
        delay: None,
    })
}

impl From<&Result<Decision, Undecided>> for CallOutcome {
    fn from(decided: &Result<Decision, Undecided>) -> Self {
        match decided {
            Ok(_) => Self::Answered,
            Err(Undecided::Denied(_) | Undecided::Failed(Failure::Fault(Fault::Response(_)))) => {
                Self::Denied
            }
            Err(Undecided::Failed(Failure::Permanent(_))) => Self::Permanent,
            Err(Undecided::Failed(Failure::Temporary { .. })) => Self::Temporary,
            Err(Undecided::Failed(Failure::Fault(Fault::Trap(_)))) => Self::Trapped,
            Err(Undecided::Failed(Failure::Fault(Fault::Deadline(_)))) => Self::Deadline,
            Err(Undecided::Failed(Failure::Fault(Fault::Memory(_) | Fault::HostMemory(_)))) => {
                Self::Memory
            }
        }
    }
}
