use std::sync::Arc;
use std::time::Instant;

use handler_host_core::{
    Decision, Failure, Fault, FinalizerFacts, FinalizerStep, GrantedQuery, Key, Kind, Object,
    PassDue, PassOutcome, Undecided, may_go, plan,
};

use super::answer_memory::Held;
use super::clock::now;
use super::controller::Controller;
use super::decide::{Decided, decide};
use super::executor::{Effect, Executor, PassMemory};
use super::fingerprint::Fingerprint;
use super::observe::observe;
use super::related::{Asked, RelatedObjects, RememberedQueries, answer, ask, related_hash};
use super::running_module::RunningModule;
use crate::metrics::{PassResult, SkipReason, TRACES};
use crate::watching::NoRoom;

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
            self.look_after(&self.running(), key).await;
            self.states.forget(key);
            self.contested.retain(key, &[]);
            self.related.forget(key);
            self.queue.change(|queue| queue.cancel_timer(key));
            return PassResult::Success;
        };
        let running = self.running();
        if !self.selects(&parent) {
            return self.leave(&running, key, &parent).await;
        }
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
        let asked = self.remembered_queries(running, parent);
        // Without queries nobody knows what the handler would see.
        let fingerprint = asked.as_ref().map(|asked| {
            let related = match asked {
                Asked::Queries(queries) => answer(running, parent, queries, &self.related).ok(),
                Asked::Failed => None,
            };
            fingerprint_of(running, parent, &observed, related.as_ref())
        });
        let input = Fingerprint::of_parent(running.identity, parent);
        let due = self.states.with(parent, |state| {
            let is_unchanged = fingerprint.is_some() && state.fingerprint == fingerprint;
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
        let pass = self.pass(running, key, parent, &observed, asked).await;
        if may_go(parent, &observed, &self.grant, &pass.outcome) {
            let pass = self.set_finalizer(parent, false).await.into();
            return PassAttempt::Passed(Box::new(pass));
        }
        PassAttempt::Passed(Box::new(pass))
    }

    /// What came of asking the module what it wants to see for a parent, if it would say the same again. A module without
    /// related kinds wants to see nothing.
    fn remembered_queries(&self, running: &RunningModule, parent: &Object) -> Option<Asked> {
        if running.grant.related.is_empty() {
            return Some(Asked::Queries(Arc::default()));
        }
        self.states.with(parent, |state| {
            let queries = state.queries.as_ref();
            queries.and_then(|it| it.of(running.identity, parent))
        })
    }

    /// Asks the module what it wants to see for a parent, and remembers what came of it.
    async fn ask(
        &self,
        running: &Arc<RunningModule>,
        key: &Key,
        parent: &Arc<Object>,
    ) -> Result<Arc<[GrantedQuery]>, Undecided> {
        let queries = ask(running, parent, &self.metrics).await;
        // From here on no change of what it sees is missed.
        let kept = queries.and_then(|queries| {
            let kept = self.related.set_queries(key, &queries);
            kept.map(|()| queries).map_err(|NoRoom { held, left }| {
                Undecided::Failed(Failure::Fault(Fault::NoRoom { held, left }))
            })
        });
        let asked = match &kept {
            Ok(queries) => Asked::Queries(queries.clone()),
            Err(_) => Asked::Failed,
        };
        let remembered = RememberedQueries::new(running.identity, parent, asked);
        self.states
            .with(parent, |state| state.queries = Some(remembered));
        kept
    }

    async fn pass(
        &self,
        running: &Arc<RunningModule>,
        key: &Key,
        parent: &Arc<Object>,
        observed: &[(Kind, Arc<Object>)],
        asked: Option<Asked>,
    ) -> Pass {
        // Before the call: who waits here holds no answer.
        self.budget.wait(|| self.queue.beat()).await;
        let queries = match asked {
            Some(Asked::Queries(queries)) => Ok(queries),
            // A failure was not kept. It is given again, most likely from memory.
            Some(Asked::Failed) | None => self.ask(running, key, parent).await,
        };
        let related = queries.and_then(|queries| answer(running, parent, &queries, &self.related));
        let fingerprint = fingerprint_of(running, parent, observed, related.as_ref().ok());
        let decided = match related {
            Ok(related) => self.decide(running, parent, observed, related).await,
            Err(undecided) => Err(undecided),
        };
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
        let may_be_new = outcome.has_failed() && self.reported_failure(parent).is_none();
        let fails_newly = match running.before().filter(|_| may_be_new) {
            None => false,
            Some(before) => {
                // A failure has no status that is to be written.
                drop(held.take());
                let decided = self.decide_before(&before, parent, observed).await;
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

    async fn decide(
        &self,
        running: &Arc<RunningModule>,
        parent: &Arc<Object>,
        observed: &[(Kind, Arc<Object>)],
        related: RelatedObjects,
    ) -> Result<Decided, Undecided> {
        let (answers, metrics) = (&self.answers, &self.metrics);
        decide(running, parent, observed, related, now(), answers, metrics).await
    }

    /// What the module before the one on trial decides. It may ask for other objects.
    async fn decide_before(
        &self,
        before: &Arc<RunningModule>,
        parent: &Arc<Object>,
        observed: &[(Kind, Arc<Object>)],
    ) -> Result<Decided, Undecided> {
        let queries = ask(before, parent, &self.metrics).await?;
        let related = answer(before, parent, &queries, &self.related)?;
        self.decide(before, parent, observed, related).await
    }

    /// Makes the children as the module decided.
    pub(super) async fn apply(
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
        PassOutcome::of_applied(decision, applied, failures, &self.grant.handler, now())
    }
}

fn fingerprint_of(
    running: &RunningModule,
    parent: &Object,
    observed: &[(Kind, Arc<Object>)],
    related: Option<&RelatedObjects>,
) -> Fingerprint {
    let related = related_hash(related);
    Fingerprint::of(running.identity, parent, observed, related)
}

impl From<PassOutcome> for Pass {
    fn from(outcome: PassOutcome) -> Self {
        Self {
            outcome,
            ..Self::default()
        }
    }
}
