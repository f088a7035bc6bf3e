use std::sync::Arc;

use handler_host_core::{Call, Decision, Effort, Failure, Fault, Kind, Object, Undecided};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::answer_memory::{HandlerAnswers, Held};
use super::observe::seen_by;
use super::running_module::RunningModule;
use crate::metrics::{CallOutcome, HandlerMetrics, LabelValue as _, TRACES};

/// Up to this many bytes, a response is checked at once; a larger one in the handler's share of the processors.
const SMALL_RESPONSE: usize = 64 << 10;

/// What a module decided, and the memory for that.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) held: Held,
}

/// Calls a module for a parent and checks its response. Writes nothing. It waits until there is memory for the response,
/// so who has a [`Decided`] drops it before.
pub(crate) async fn decide(
    running: &Arc<RunningModule>,
    parent: &Arc<Object>,
    observed: &[(Kind, Arc<Object>)],
    answers: &HandlerAnswers,
    metrics: &HandlerMetrics,
) -> Result<Decided, Undecided> {
    let children = seen_by(&running.grant, observed);
    let children: Vec<_> = children.into_iter().cloned().collect();
    let texts = children.iter().map(|child| child.text().len());
    let input = texts.sum::<usize>() + parent.text().len();
    let mut held = answers.hold_expected(input).await;
    let mut decided = decide_within(running, parent, &children, held.answer, metrics).await;
    if let Err(Undecided::Failed(Failure::Fault(Fault::Answer(_)))) = decided
        && held.answer < answers.most()
    {
        drop(held);
        held = answers.hold_most(input).await;
        decided = decide_within(running, parent, &children, held.answer, metrics).await;
    }
    let decision = decided?;
    answers.needed(&mut held, decision.memory);
    Ok(Decided { decision, held })
}

/// Calls a module whose response may take `room` bytes.
async fn decide_within(
    running: &Arc<RunningModule>,
    parent: &Arc<Object>,
    children: &[Arc<Object>],
    room: usize,
    metrics: &HandlerMetrics,
) -> Result<Decision, Undecided> {
    tracing::debug!(handler = %running.grant.handler, object = %parent.key(), "calling the handler");
    let span = tracing::info_span!(
        target: TRACES, "invoke", digest = %running.digest().short(), outcome = Empty,
    );
    let (running, parent, children) = (running.clone(), parent.clone(), children.to_vec());
    // A guest may use its whole deadline; no async thread is to stand still that long.
    let deciding =
        tokio::task::spawn_blocking(move || call_and_check(&running, &parent, &children, room));
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
    room: usize,
) -> (Result<Decision, Undecided>, Effort) {
    let texts: Vec<&str> = children.iter().map(|child| child.text()).collect();
    let (answer, effort) = running.invoke.invoke_measured(&Call {
        object: &parent.key().to_string(),
        parent: parent.text(),
        children: &texts,
        config: &running.config,
        room,
    });
    let is_small = answer
        .as_ref()
        .map_or(true, |response| response.bytes() <= SMALL_RESPONSE);
    if is_small {
        return (Decision::of(answer, parent, &running.grant, room), effort);
    }
    let (tell, told) = std::sync::mpsc::channel();
    let (module, parent) = (running.clone(), parent.clone());
    running.invoke.work(Box::new(move || {
        // The receiver waits below.
        let _ = tell.send(Decision::of(answer, &parent, &module.grant, room));
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
            Err(Undecided::Failed(Failure::Fault(
                Fault::Memory(_) | Fault::HostMemory(_) | Fault::Answer(_),
            ))) => Self::Memory,
        }
    }
}
