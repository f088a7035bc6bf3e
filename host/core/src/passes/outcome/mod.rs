use std::time::{Duration, Instant};

use super::applied::{Applied, AppliedChange, ChildProblem, Done};
use super::children::ChildRef;
use super::decision::{Decision, StatusPatch, Undecided};
use super::settling::Unstable;
use super::status::ConditionChange;
use super::verdict::{Reason, Verdict};
use crate::{
    Backoff, Digest, Failure, HandlerEvent, OnParentUnmatch, Readiness, RequeueRequest, Severity,
    Timestamp,
};

/// How many passes in a row fail with an object before its parent is told: most such failures pass within seconds.
const TRIES: u32 = 3;
/// The shortest time to the next call that a handler asks for. A shorter one would let it keep the host busy.
const SHORTEST_DELAY: Duration = Duration::from_secs(1);

/// What the API server made of a parent's finalizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinalizerWrite {
    /// It was written.
    Written,
    /// The parent is gone, or not what it was taken for.
    Stale,
    /// The API server refused it, with this message.
    Rejected(String),
    /// The API server cannot answer.
    Unavailable {
        /// The problem, for people.
        message: String,
        /// How long the API server asks to wait; None if it does not say.
        retry_after: Option<Duration>,
    },
}

/// What one pass over a parent came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassOutcome {
    /// The verdict on the parent. None leaves its condition `Ready` as it is: the API server did not answer, the
    /// cluster changed during the pass, or there was nothing to judge.
    pub verdict: Option<Verdict>,
    /// What the handler says of the parent's status. None unless its children are applied, or it failed and said so.
    pub status: Option<StatusPatch>,
    /// The Events that the handler gave. Empty unless its children are applied.
    pub events: Vec<HandlerEvent>,
    /// How many children the handler desires.
    pub desired: usize,
    /// The children that were written.
    pub changes: Vec<AppliedChange>,
    /// When the next pass is due though nothing changes.
    pub requeue: Requeue,
    /// What kept the API server from answering.
    pub problem: Option<String>,
    /// Whether nothing more can be created for the parent, since its namespace is being deleted.
    pub is_namespace_terminating: bool,
}

/// When a parent is passed over again though nothing changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requeue {
    /// Not at all.
    #[default]
    Never,
    /// After this time.
    After(Duration),
    /// After the backoff of a parent that fails, and not before `at_least` is over.
    Backoff {
        /// Zero unless the API server asks for more.
        at_least: Duration,
    },
}

/// What a parent's users are told of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct PassReport {
    /// What the condition `Ready` says.
    pub verdict: Verdict,
    /// The handler's merge patch of the status.
    pub status: Option<StatusPatch>,
    /// The Events to publish, in order.
    pub events: Vec<HandlerEvent>,
}

impl PassOutcome {
    /// The module gave nothing that may be applied. Another call would mostly give the same, so only failures
    /// that may pass are tried again.
    #[must_use]
    pub fn of_undecided(undecided: &Undecided) -> Self {
        let requeue = match undecided {
            Undecided::Denied(_) | Undecided::Failed(Failure::Permanent { .. }) => Requeue::Never,
            Undecided::Failed(Failure::Temporary {
                delay: Some(delay), ..
            }) => Requeue::After((*delay).max(SHORTEST_DELAY)),
            Undecided::Failed(Failure::Temporary { delay: None, .. } | Failure::Fault(_)) => {
                Requeue::backoff(None)
            }
        };
        Self {
            verdict: Some(undecided.verdict()),
            status: undecided.status(),
            requeue,
            ..Self::default()
        }
    }

    /// The steps for what the module decided were carried out, as far as that was possible. `failures` counts the
    /// passes in a row before this one that are tried again.
    #[must_use]
    pub fn of_applied(
        decision: &Decision,
        applied: Applied,
        failures: u32,
        handler: &str,
        now: Timestamp,
    ) -> Self {
        let response = &decision.response;
        let mut outcome = Self {
            desired: decision.desired.len(),
            changes: applied.changes,
            ..Self::default()
        };
        match applied.problem {
            None => {
                outcome.verdict = Some(verdict_of(decision, applied.awaited.as_ref()));
                outcome.requeue = Requeue::asked(response.requeue, now);
                // Only here: what the handler says of its children does not hold for children that were refused.
                outcome.status = decision.status.clone();
                outcome.events = response.events.clone();
            }
            Some(ChildProblem::Foreign(child, foreign)) => {
                outcome.fail(Verdict::foreign(&child, &foreign, handler));
            }
            // It may pass by itself, like an outage, but only this object suffers from it.
            Some(ChildProblem::Failed(child, message)) if failures.saturating_add(1) >= TRIES => {
                outcome.fail(Verdict::failed(&child, &message));
            }
            Some(ChildProblem::Failed(..)) => outcome.requeue = Requeue::backoff(None),
            Some(ChildProblem::Terminating(_)) => {
                outcome.is_namespace_terminating = true;
                outcome.requeue = Requeue::backoff(None);
            }
            Some(ChildProblem::Rejected(child, message)) => {
                outcome.fail(Verdict::rejected(&child, &message));
            }
            Some(ChildProblem::NoMemory { child, held, left }) => {
                outcome.fail(Verdict::no_memory(&child, held, left));
            }
            Some(ChildProblem::Unavailable {
                child,
                message,
                retry_after,
            }) => {
                outcome.problem = Some(format!("{child}: {message}"));
                outcome.requeue = Requeue::backoff(retry_after);
            }
            Some(ChildProblem::Stale(_)) => outcome.requeue = Requeue::backoff(None),
        }
        outcome
    }

    /// The finalizer was to be set or removed, and nothing else.
    #[must_use]
    pub fn of_finalizer(write: FinalizerWrite) -> Self {
        let mut outcome = Self::default();
        match write {
            // The change of the parent leads to its next pass.
            FinalizerWrite::Written => {}
            FinalizerWrite::Stale => outcome.requeue = Requeue::backoff(None),
            FinalizerWrite::Rejected(message) => {
                let message = format!("the API server refused the finalizer: {message}");
                outcome.fail(Verdict::new(Reason::Rejected, message));
            }
            FinalizerWrite::Unavailable {
                message,
                retry_after,
            } => {
                outcome.problem = Some(message);
                outcome.requeue = Requeue::backoff(retry_after);
            }
        }
        outcome
    }

    /// Somebody paused the parent. Nothing is done before the parent changes again.
    #[must_use]
    pub fn paused() -> Self {
        Self {
            verdict: Some(Verdict::paused()),
            ..Self::default()
        }
    }

    /// The Handler does not select the parent any more.
    #[must_use]
    pub fn not_selected(on_unmatch: OnParentUnmatch) -> Self {
        Self {
            verdict: Some(Verdict::not_selected(on_unmatch)),
            ..Self::default()
        }
    }

    fn fail(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
        self.requeue = Requeue::backoff(None);
    }

    /// Whether children were written.
    #[must_use]
    pub fn has_written(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whether something went wrong that another module may do better.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let verdict = self.verdict.as_ref();
        verdict.is_some_and(|verdict| verdict.reason.is_modules_failure())
    }

    /// Whether the handler has nothing more to do for a parent that is being deleted.
    #[must_use]
    pub fn has_nothing_left(&self) -> bool {
        let verdict = self.verdict.as_ref();
        let is_done = verdict.is_some_and(|verdict| !verdict.reason.is_failure())
            && self.desired == 0
            && self.changes.is_empty();
        is_done || self.is_namespace_terminating
    }

    /// The outcome of a pass over a parent whose children never settle: it says so, unless something worse is to be
    /// said.
    #[must_use]
    pub fn unsettled(mut self, unstable: Unstable, now: Instant) -> Self {
        // Without a verdict the API server did not answer, or the pass was made for what is no more.
        let is_well = |verdict: &Verdict| !verdict.reason.is_failure();
        if !self.verdict.as_ref().is_some_and(is_well) {
            return self;
        }
        self.verdict = Some(unstable.verdict);
        let until = unstable.settled.saturating_duration_since(now);
        self.requeue = match self.requeue {
            Requeue::After(delay) => Requeue::After(delay.min(until)),
            Requeue::Never => Requeue::After(until),
            Requeue::Backoff { .. } => self.requeue,
        };
        self
    }

    /// Whether the versions that the pass left behind need no other pass. Without a verdict the next look at
    /// the parent is a pass.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.verdict.is_some()
    }

    /// The outcome, of which the parent is told nothing: most likely the failure is the fault of the module on
    /// trial. The parent is passed over again when the trial is over.
    #[must_use]
    pub fn withheld(self) -> Self {
        Self {
            verdict: None,
            ..self
        }
    }

    /// What the parent's users are told; None without a verdict. `change` says whether the verdict is news to
    /// them: a transition gets an Event of its own, and the handler's Events come with one or with changes.
    #[must_use]
    pub fn report(self, change: ConditionChange) -> Option<PassReport> {
        let verdict = self.verdict?;
        let mut events = Vec::new();
        let has_adopted = self.changes.iter().any(|it| it.done == Done::Adopted);
        match change {
            // An adoption is told, though the condition says the same.
            ConditionChange::Same if !has_adopted => {
                if !self.changes.is_empty() {
                    events = self.events;
                }
            }
            ConditionChange::Transition | ConditionChange::Same => {
                events = self.events;
                events.push(verdict.announcement(&self.changes));
            }
        }
        Some(PassReport {
            verdict,
            status: self.status,
            events,
        })
    }
}

fn verdict_of(decision: &Decision, awaited: Option<&ChildRef>) -> Verdict {
    match (awaited, &decision.response.readiness) {
        (Some(child), _) => {
            let message = format!("{child} is being deleted; it is made again when it is gone");
            Verdict::new(Reason::Waiting, message)
        }
        (None, Readiness::Ready) => Verdict::reconciled(decision.desired.len()),
        (None, Readiness::Waiting(message)) => Verdict::new(Reason::Waiting, message),
    }
}

impl Verdict {
    /// The Event that tells of the verdict while a module is on trial, and the condition says what it said before.
    #[must_use]
    pub fn withheld(&self, digest: Digest) -> HandlerEvent {
        HandlerEvent {
            severity: Severity::Normal,
            reason: "OnTrial".to_owned(),
            message: format!(
                "the module {} is on trial and fails for this object, which the module before does not; the condition Ready stays as it was until the trial is over: {}: {}",
                digest.short(),
                self.reason.as_str(),
                self.message
            ),
        }
    }

    /// The Event that announces the verdict. For a parent that was reconciled it says what was changed.
    #[must_use]
    pub fn announcement(&self, changes: &[AppliedChange]) -> HandlerEvent {
        let message = if self.reason == Reason::Reconciled && !changes.is_empty() {
            let changes: Vec<_> = changes.iter().map(AppliedChange::to_string).collect();
            changes.join(", ")
        } else {
            self.message.clone()
        };
        HandlerEvent {
            severity: self.reason.severity(),
            reason: self.reason.as_str().to_owned(),
            message,
        }
    }
}

impl Requeue {
    fn asked(request: Option<RequeueRequest>, now: Timestamp) -> Self {
        let delay = match request {
            None => return Self::Never,
            Some(RequeueRequest::After(delay)) => delay,
            Some(RequeueRequest::At(then)) => now.until(then),
        };
        Self::After(delay.max(SHORTEST_DELAY))
    }

    fn backoff(at_least: Option<Duration>) -> Self {
        Self::Backoff {
            at_least: at_least.unwrap_or_default(),
        }
    }

    /// How long to wait for the next pass; None if none is due. `failures` counts the passes in a row that are
    /// tried again with backoff, and is brought up to date. `jitter` is a random number of 0 to 1.
    pub fn delay(self, failures: &mut u32, backoff: Backoff, jitter: f64) -> Option<Duration> {
        *failures = match self {
            Self::Never | Self::After(_) => 0,
            Self::Backoff { .. } => failures.saturating_add(1),
        };
        match self {
            Self::Never => None,
            Self::After(delay) => Some(delay),
            Self::Backoff { at_least } => Some(backoff.delay(*failures, jitter).max(at_least)),
        }
    }
}

#[cfg(test)]
mod tests;
