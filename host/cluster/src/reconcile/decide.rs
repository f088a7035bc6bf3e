use std::sync::Arc;

use handler_host_core::{
    Call, Decision, Effort, Failure, Fault, Kind, Object, Timestamp, Undecided,
};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::answer_memory::{HandlerAnswers, Held};
use super::observe::seen_by;
use super::related::RelatedObjects;
use super::running_module::RunningModule;
use crate::metrics::{CallOutcome, HandlerMetrics, LabelValue as _, TRACES};

/// Up to this many bytes, a response is checked at once; a larger one in the handler's share of the processors.
const SMALL_RESPONSE: usize = 64 << 10;

/// What a module decided, and the memory for that.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) held: Held,
}

/// The objects that a module is called with, beside its config.
#[derive(Clone)]
struct CallInput {
    parent: Arc<Object>,
    children: Vec<(Kind, Arc<Object>)>,
    related: RelatedObjects,
    now: Option<Timestamp>,
}

impl CallInput {
    fn bytes(&self) -> usize {
        let related = self.related.iter().flatten();
        let children = self.children.iter().map(|(_, child)| child);
        let objects = children.chain(related).chain([&self.parent]);
        objects.map(|object| object.text().len()).sum()
    }
}

/// Calls a module for a parent and checks its response. Writes nothing. It waits until there is memory for the response,
/// so who has a [`Decided`] drops it before.
pub(crate) async fn decide(
    running: &Arc<RunningModule>,
    parent: &Arc<Object>,
    observed: &[(Kind, Arc<Object>)],
    related: RelatedObjects,
    now: Timestamp,
    answers: &HandlerAnswers,
    metrics: &HandlerMetrics,
) -> Result<Decided, Undecided> {
    let clock = running.grant.clock;
    let input = Arc::new(CallInput {
        parent: parent.clone(),
        children: seen_by(&running.grant, observed),
        related,
        now: clock.map(|granularity| now.rounded_down(granularity)),
    });
    let bytes = input.bytes();
    let mut held = answers.hold_expected(bytes).await;
    let mut decided = decide_within(running, &input, held.answer, metrics).await;
    if let Err(Undecided::Failed(Failure::Fault(Fault::Answer(_)))) = decided
        && held.answer < answers.most()
    {
        drop(held);
        held = answers.hold_most(bytes).await;
        decided = decide_within(running, &input, held.answer, metrics).await;
    }
    let decision = decided?;
    answers.needed(&mut held, decision.memory);
    Ok(Decided { decision, held })
}

/// Calls a module whose response may take `room` bytes.
async fn decide_within(
    running: &Arc<RunningModule>,
    input: &Arc<CallInput>,
    room: usize,
    metrics: &HandlerMetrics,
) -> Result<Decision, Undecided> {
    tracing::debug!(handler = %running.grant.handler, object = %input.parent.key(), "calling the handler");
    let span = tracing::info_span!(
        target: TRACES, "invoke", digest = %running.digest().short(), outcome = Empty,
    );
    let (running, input) = (running.clone(), input.clone());
    // A guest may use its whole deadline; no async thread is to stand still that long.
    let deciding = tokio::task::spawn_blocking(move || call_and_check(&running, &input, room));
    let (decided, effort) = deciding
        .instrument(span.clone())
        .await
        .unwrap_or_else(|error| {
            (
                Err(Undecided::Failed(host_failure(&error))),
                Effort::Nothing,
            )
        });
    let outcome = CallOutcome::of(&decided);
    span.record("outcome", outcome.as_str());
    metrics.called(outcome, effort);
    decided
}

fn call_and_check(
    running: &Arc<RunningModule>,
    input: &Arc<CallInput>,
    room: usize,
) -> (Result<Decision, Undecided>, Effort) {
    let parent = &input.parent;
    let related: Vec<_> = input.related.iter().map(texts).collect();
    let (answer, effort) = running.invoke.invoke_measured(&Call {
        object: &parent.key().to_string(),
        parent: parent.text(),
        children: &texts(input.children.iter().map(|(_, child)| child)),
        related: &related,
        config: &running.config,
        now: input.now,
        room,
    });
    let is_small = answer
        .as_ref()
        .map_or(true, |response| response.bytes() <= SMALL_RESPONSE);
    if is_small {
        return (
            Decision::of(answer, parent, &input.children, &running.grant, room),
            effort,
        );
    }
    let (tell, told) = std::sync::mpsc::channel();
    let (module, input) = (running.clone(), input.clone());
    running.invoke.work(Box::new(move || {
        // The receiver waits below.
        let CallInput {
            parent, children, ..
        } = &*input;
        let _ = tell.send(Decision::of(answer, parent, children, &module.grant, room));
    }));
    let decided = told.recv();
    let decided = decided.unwrap_or_else(|error| Err(Undecided::Failed(host_failure(&error))));
    (decided, effort)
}

fn texts<'a>(objects: impl IntoIterator<Item = &'a Arc<Object>>) -> Vec<&'a str> {
    objects.into_iter().map(|object| object.text()).collect()
}

pub(super) fn host_failure(error: &dyn std::error::Error) -> Failure {
    Failure::temporary(format!("the host failed to run the handler ({error})"))
}

impl CallOutcome {
    /// The outcome of a call whose answer was checked.
    pub(super) fn of<T>(decided: &Result<T, Undecided>) -> Self {
        match decided {
            Ok(_) => Self::Answered,
            Err(
                Undecided::Denied(_)
                | Undecided::Failed(Failure::Fault(Fault::Response(_) | Fault::Queries(_))),
            ) => Self::Denied,
            Err(Undecided::Failed(Failure::Permanent { .. })) => Self::Permanent,
            Err(Undecided::Failed(Failure::Temporary { .. })) => Self::Temporary,
            Err(Undecided::Failed(Failure::Fault(Fault::Trap(_)))) => Self::Trapped,
            Err(Undecided::Failed(Failure::Fault(Fault::Deadline(_)))) => Self::Deadline,
            Err(Undecided::Failed(Failure::Fault(
                Fault::Memory(_) | Fault::HostMemory(_) | Fault::Answer(_) | Fault::NoRoom { .. },
            ))) => Self::Memory,
        }
    }
}
