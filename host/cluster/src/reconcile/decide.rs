use std::sync::Arc;

use handler_host_core::{
    Call, Decision, Effort, Failure, Fault, Invoke, Kind, Object, Response, Undecided,
};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::observe::seen_by;
use super::running_module::RunningModule;
use crate::metrics::{CallOutcome, HandlerMetrics, LabelValue as _, TRACES};

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
    let seen = seen_by(&running.grant, observed);
    let call = call(invoke, parent.clone(), seen, config);
    let (answer, effort) = call.instrument(span.clone()).await;
    let decided = Decision::of(answer, parent, &running.grant);
    let outcome = CallOutcome::from(&decided);
    span.record("outcome", outcome.as_str());
    metrics.called(outcome, effort);
    decided
}

/// Calls the handler for a parent.
async fn call(
    invoke: Arc<dyn Invoke>,
    parent: Arc<Object>,
    observed: Vec<&Arc<Object>>,
    config: Arc<str>,
) -> (Result<Response, Failure>, Effort) {
    let children: Vec<_> = observed.into_iter().cloned().collect();
    let call = move || {
        let texts: Vec<&str> = children.iter().map(|child| child.text()).collect();
        invoke.invoke_measured(&Call {
            object: &parent.key().to_string(),
            parent: parent.text(),
            children: &texts,
            config: &config,
        })
    };
    // A guest may use its whole deadline; no async thread is to stand still that long.
    let answer = tokio::task::spawn_blocking(call).await;
    answer.unwrap_or_else(|error| {
        let message = format!("the host failed to run the handler ({error})");
        let failure = Failure::Temporary {
            message,
            delay: None,
        };
        (Err(failure), Effort::Nothing)
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
            Err(Undecided::Failed(Failure::Fault(Fault::Memory(_)))) => Self::Memory,
        }
    }
}
