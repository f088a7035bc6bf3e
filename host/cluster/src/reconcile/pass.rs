use std::sync::Arc;
use std::time::Instant;

use handler_host_core::{
    Decision, FinalizerFacts, FinalizerStep, Key, Kind, Object, PassDue, PassOutcome, may_go, plan,
    reported_failure,
};

use super::answer_memory::Held;
use super::controller::Controller;
use super::decide::{Decided, decide};
use super::executor::{Effect, Executor, PassMemory};
use super::fingerprint::Fingerprint;
use super::observe::observe;
use super::running_module::RunningModule;
use crate::metrics::{PassResult, SkipReason, TRACES};

/// One pass over a parent, before it is concluded.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) outcome: PassOutcome,
    /// What the handler saw; None if the next reconcile must make a pass.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Whether it is a failure that the parent would not have with the module before.
    pub(super) fails_newly: bool,
    /// The memory of its answer.
    held: Option<Held>,
}

/// Whether a reconcile made a pass.
enum PassAttempt {
    Passed(Box<Pass>),
    Skipped(SkipReason),
}

impl Controller {
    /// Reconciles a parent, and notes what is to be reported.
    pub(super) async fn reconcile(&self, key: &Key, is_retry: bool) -> PassResult {
        let Some(parent) = self.parents.cache.get(key) else {
            self.states.forget(key);
            self.contested.retain(key, &[]);
            self.queue.change(|queue| queue.cancel_timer(key));
            return PassResult::Success;
        };
        let running = self.running();
        if parent.is_paused() {
            self.pause(&running, key, &parent);
            return PassResult::Success;
        }
        let module_before = running.before();
        let facts = FinalizerFacts {
            is_wanted: running.has_finalizer,
            is_wanted_by_module_before: module_before.is_some_and(|it| it.has_finalizer),
            is_set: parent.meta.finalizers.contains(&self.grant.finalizer()),
            is_deleting: parent.is_deleting(),
        };
        let mut pass = match facts.step() {
            FinalizerStep::Add => self.set_finalizer(&parent, true).await.into(),
            FinalizerStep::Remove => self.set_finalizer(&parent, false).await.into(),
            FinalizerStep::Nothing => Pass::default(),
            FinalizerStep::WaitForModuleBefore => return PassResult::Success,
            FinalizerStep::Reconcile => {
                match self.pass_if_due(&running, key, &parent, is_retry).await {
                    PassAttempt::Passed(pass) => *pass,
                    PassAttempt::Skipped(reason) => {
                        self.metrics.skipped(reason);
                        return PassResult::Success;
                    }
                }
            }
        };
        let result = pass.outcome.requeue.into();
        // Until its status is written.
        let _held = pass.held.take();
        if self.conclude(&running, key, &parent, pass) {
            self.report(key).await;
        }
        result
    }

    /// Leaves a parent alone that somebody paused, and tells it so.
    fn pause(&self, running: &RunningModule, key: &Key, parent: &Object) {
        self.states.with(parent, |state| state.fingerprint = None);
        self.contested.retain(key, &[]);
        self.queue.change(|queue| queue.cancel_timer(key));
        self.put_report(running, key, parent, PassOutcome::paused(), Instant::now());
    }

    /// Observes the children, and makes a pass if there is anything to do.
    async fn pass_if_due(
        &self,
        running: &Arc<RunningModule>,
        key: &Key,
        parent: &Arc<Object>,
        is_retry: bool,
    ) -> PassAttempt {
        let observed = observe(&self.children, parent, &self.grant);
        let fingerprint = Fingerprint::of(running.identity, parent, &observed);
        let input = Fingerprint::of_parent(running.identity, parent);
        let due = self.states.with(parent, |state| {
            let is_unchanged = state.fingerprint.as_ref() == Some(&fingerprint);
            let now = Instant::now();
            let resumes = state.settling.unstable(input, now).map(|it| it.resumes);
            PassDue::of(is_unchanged && !is_retry, resumes, &mut state.tokens, now)
        });
        match due {
            PassDue::Now => {}
            PassDue::Unchanged => return PassAttempt::Skipped(SkipReason::Unchanged),
            PassDue::RateLimited { until } => {
                let key = key.clone();
                self.queue.change(|queue| queue.retry_by(key, until));
                return PassAttempt::Skipped(SkipReason::RateLimited);
            }
        }
        let pass = self
            .pass(running, key, parent, &observed, fingerprint)
            .await;
        if may_go(parent, &observed, &self.grant, &pass.outcome) {
            let pass = self.set_finalizer(parent, false).await.into();
            return PassAttempt::Passed(Box::new(pass));
        }
        PassAttempt::Passed(Box::new(pass))
    }

    async fn pass(
        &self,
        running: &Arc<RunningModule>,
        key: &Key,
        parent: &Arc<Object>,
        observed: &[(Kind, Arc<Object>)],
        fingerprint: Fingerprint,
    ) -> Pass {
        // Before the call: who waits here holds no answer.
        self.budget.wait(|| self.queue.beat()).await;
        let decided = decide(running, parent, observed, &self.answers, &self.metrics).await;
        let (outcome, desired, mut held) = match decided {
            Err(undecided) => {
                self.contested.retain(key, &[]);
                (PassOutcome::of_undecided(&undecided), None, None)
            }
            Ok(decided) => {
                let Decided { decision, held } = decided;
                let outcome = self.apply(key, parent, observed, &decision).await;
                (outcome, Some(decision.desired.digests()), Some(held))
            }
        };
        // As a preview counts: what failed before, for whatever reason, does not newly fail.
        let may_be_new = outcome.has_failed() && reported_failure(&parent.status()).is_none();
        let fails_newly = match running.before().filter(|_| may_be_new) {
            None => false,
            Some(before) => {
                // A failure has no status that is to be written.
                drop(held.take());
                let decided = decide(&before, parent, observed, &self.answers, &self.metrics).await;
                decided.is_ok_and(|decided| decided.decision.is_better(desired.as_deref()))
            }
        };
        Pass {
            outcome,
            fingerprint: Some(fingerprint),
            fails_newly,
            held,
        }
    }

    /// Makes the children as the module decided.
    async fn apply(
        &self,
        key: &Key,
        parent: &Object,
        observed: &[(Kind, Arc<Object>)],
        decision: &Decision,
    ) -> PassOutcome {
        let desired = &decision.desired;
        let (accepted, failures) = self.states.with(parent, |state| {
            state
                .accepted
                .retain(|name, _| desired.iter().any(|child| child.name() == *name));
            (state.accepted.clone(), state.failures)
        });
        let steps = {
            let _span = tracing::info_span!(target: TRACES, "plan").entered();
            // It reads the observed children, which may be large.
            tokio::task::block_in_place(|| plan(desired, observed, &accepted, parent, &self.grant))
        };
        let executor = Executor {
            client: &self.client,
            grant: &self.grant,
            kinds: &self.children,
            parent,
            is_living: &|uid| self.parents.cache.key_of(uid).is_some(),
            effect: Effect::Real(PassMemory {
                states: &self.states,
                contested: &self.contested,
                queue: &self.queue,
                metrics: &self.metrics,
                budget: &self.budget,
            }),
        };
        let executed = executor.run(&steps).await;
        self.contested.retain(key, &executed.contested);
        let applied = executed.into_applied(&self.grant.field_manager());
        PassOutcome::of_applied(decision, applied, failures, &self.grant.handler)
    }
}

impl From<PassOutcome> for Pass {
    fn from(outcome: PassOutcome) -> Self {
        Self {
            outcome,
            ..Self::default()
        }
    }
}
