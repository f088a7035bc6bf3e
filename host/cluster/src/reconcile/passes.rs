use std::sync::Arc;
use std::time::Instant;

use handler_host_core::{Checked, Children, ConditionChange, Key, Kind, Object, Reason, Verdict};
use kube::api::Patch;
use serde_json::{Value, json};

use super::controller::Controller;
use super::decide::{Decision, decide};
use super::executor::Executor;
use super::fingerprint::Fingerprint;
use super::invocation::{observe, steps};
use super::parent_states::Report;
use super::pass::{Again, Pass};
use super::running_module::RunningModule;
use crate::api::{ApiError, answered};
use crate::metrics::{PassResult, TRACES, Write};

impl Controller {
    /// One pass: observe, call, check, plan, apply, and note what is to be reported.
    pub(crate) async fn reconcile(&self, key: &Key, is_retry: bool) -> PassResult {
        let Some(parent) = self.parents.cache.get(key) else {
            self.states.forget(key);
            self.conflicts.settle(key, &[]);
            self.work.change(|queue| queue.cancel_timer(key));
            return PassResult::Success;
        };
        let running = self.running();
        let has_finalizer = parent.meta.finalizers.contains(&self.grant.finalizer());
        let pass = match (running.has_finalizer, has_finalizer) {
            (true, false) if !parent.is_deleting() => self.set_finalizer(&parent, true).await,
            // The module before wants it, and may be back soon; a parent that goes waits for that.
            (false, true) if running.before().is_some_and(|before| before.has_finalizer) => {
                if parent.is_deleting() {
                    return PassResult::Success;
                }
                match self.look(&running, key, &parent, is_retry).await {
                    Some(pass) => pass,
                    None => return PassResult::Success,
                }
            }
            // Left by an earlier module; this one is not to be asked about a parent that goes.
            (false, true) => self.set_finalizer(&parent, false).await,
            (_, false) if parent.is_deleting() => Pass::again(Again::Never),
            (true | false, _) => match self.look(&running, key, &parent, is_retry).await {
                Some(pass) => pass,
                None => return PassResult::Success,
            },
        };
        let result = pass.result();
        self.conclude(&running, key, &parent, pass);
        result
    }

    /// Observes, and calls if there is anything to call for.
    async fn look(
        &self,
        running: &RunningModule,
        key: &Key,
        parent: &Arc<Object>,
        is_retry: bool,
    ) -> Option<Pass> {
        let observed = observe(&self.children, parent, &self.grant.handler);
        let fingerprint = Fingerprint::of(running.identity, parent, &observed);
        let is_seen = self.states.with(parent, |state| {
            state.fingerprint.as_ref() == Some(&fingerprint)
        });
        if is_seen && !is_retry {
            return None;
        }
        let turn = self
            .states
            .with(parent, |state| state.turns.take(Instant::now()));
        if let Err(at) = turn {
            self.work.change(|queue| queue.retry_by(key.clone(), at));
            return None;
        }
        let pass = self
            .pass(running, key, parent, &observed, fingerprint)
            .await;
        let is_held = observed.iter().any(|(kind, _)| !self.grant.keeps(kind));
        if parent.is_deleting() && !is_held && pass.has_nothing_left() {
            return Some(self.set_finalizer(parent, false).await);
        }
        Some(pass)
    }

    async fn pass(
        &self,
        running: &RunningModule,
        key: &Key,
        parent: &Arc<Object>,
        observed: &[(Kind, Arc<Object>)],
        fingerprint: Fingerprint,
    ) -> Pass {
        let decided = decide(running, parent, observed, &self.metrics).await;
        let Decision {
            response,
            desired,
            status,
        } = match decided {
            Ok(decision) => decision,
            Err(undecided) => {
                self.conflicts.settle(key, &[]);
                let mut pass = Pass::undecided(undecided, fingerprint);
                pass.fails_newly = self.fails_newly(running, parent, observed, None).await;
                return pass;
            }
        };
        let accepted = self.states.with(parent, |state| {
            record
                .accepted
                .retain(|name, _| desired.iter().any(|child| child.name() == *name));
            state.accepted.clone()
        });
        let steps = {
            let _span = tracing::info_span!(target: TRACES, "plan").entered();
            steps(&desired, observed, &accepted, parent, &self.grant)
        };
        let apply = Executor {
            client: &self.client,
            grant: &self.grant,
            kinds: &self.children,
            states: &self.states,
            conflicts: &self.conflicts,
            work: &self.work,
            metrics: &self.metrics,
            parent,
        };
        let applied = apply.steps(&steps, fingerprint).await;
        self.conflicts.settle(key, &applied.contested);
        let mut pass = Pass::applied(response, status, applied, desired.len());
        if pass.has_failed() {
            let refused = Some(&desired);
            pass.fails_newly = self.fails_newly(running, parent, observed, refused).await;
        }
        pass
    }

    /// Takes the finalizer off every parent that has it.
    pub(crate) async fn let_parents_go(&self) {
        let finalizer = self.grant.finalizer();
        for key in self.parents.cache.keys() {
            let held = self.parents.cache.get(&key);
            let Some(parent) = held.filter(|it| it.meta.finalizers.contains(&finalizer)) else {
                continue;
            };
            // What the API server says to it stands in the pass; nobody is left to try again.
            let pass = self.set_finalizer(&parent, false).await;
            if let Some(problem) = pass.trouble.or(pass.verdict.map(|verdict| verdict.message)) {
                tracing::warn!(handler = %self.grant.handler, object = %key, "its finalizer {finalizer} stays: {problem}; take it off by hand");
            }
        }
    }

    async fn set_finalizer(&self, parent: &Object, is_wanted: bool) -> Pass {
        let ours = self.grant.finalizer();
        let mut finalizers = parent.meta.finalizers.clone();
        finalizers.retain(|finalizer| *finalizer != ours);
        finalizers.extend(is_wanted.then_some(ours));
        // The whole list is written, so it must be the list that was seen.
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": parent.meta.resource_version,
        }});
        let served = &self.parents.served;
        let api = served.api(&self.client, parent.meta.namespace.as_deref());
        let params = self.patch_params();
        let patch = Patch::Merge(&patch);
        let written = answered(api.patch(&parent.meta.name, &params, &patch)).await;
        self.metrics.wrote(Write::Finalizer, (&written).into());
        match written {
            Ok(answer) => {
                // The answer is a change of the parent, and what it leads to is the pass that calls.
                if let Some(object) = answer.into_object(&served.kind) {
                    self.parents.cache.insert(object);
                }
                self.work.change(|queue| queue.add(parent.key()));
                Pass::again(Again::Never)
            }
            Err(ApiError::NotFound(_) | ApiError::Conflict) => Pass::again(Again::Backoff(None)),
            Err(ApiError::Unavailable(message, delay)) => {
                let mut pass = Pass::again(Again::Backoff(delay));
                pass.trouble = Some(message);
                pass
            }
            Err(ApiError::Rejected(message)) => {
                let mut pass = Pass::again(Again::Backoff(None));
                let message = format!("the API server refused the finalizer: {message}");
                pass.verdict = Some(Verdict::new(Reason::Rejected, message));
                pass
            }
        }
    }

    fn conclude(&self, running: &RunningModule, key: &Key, parent: &Object, pass: Pass) {
        let is_withheld = self.is_withheld(running, key, &pass);
        let had_trouble = self.states.with(parent, |state| {
            std::mem::replace(&mut state.has_problem, pass.trouble.is_some())
        });
        match &pass.trouble {
            Some(trouble) => self.write_problems.report(trouble),
            None if had_trouble => self.write_problems.resolve(),
            None => {}
        }
        let now = Instant::now();
        let retry_at = self.states.with(parent, |state| {
            // What was withheld is looked at again when the trial is over, as if it had never been seen.
            state.fingerprint = pass.fingerprint.filter(|_| !is_withheld);
            match pass.again {
                Again::Never => {
                    state.failures = 0;
                    None
                }
                Again::After(delay) => {
                    state.failures = 0;
                    Some(now + delay)
                }
                Again::Backoff(least) => {
                    self.metrics.put_off();
                    state.failures = state.failures.saturating_add(1);
                    let delay = self.backoff.delay(state.failures, fastrand::f64());
                    Some(now + delay.max(least.unwrap_or_default()))
                }
            }
        });
        self.work.change(|queue| match retry_at {
            Some(at) => queue.retry_at(key.clone(), at),
            None => queue.cancel_timer(key),
        });
        let Some(verdict) = pass.verdict.filter(|_| !is_withheld) else {
            return;
        };
        self.states.with(parent, |state| {
            state.is_failing = verdict.reason.is_failure();
        });
        let status = parent.status();
        let is_news = self.is_news(parent, &status, &verdict);
        let mut events = Vec::new();
        if is_news || !pass.changes.is_empty() {
            events = pass.response.events;
        }
        if is_news {
            self.announce(key, &verdict, &pass.changes, &mut events);
        }
        let report = Report {
            verdict,
            digest: running.digest(),
            generation: parent.meta.generation,
            status: pass.status,
            events,
        };
        if !report.events.is_empty() || self.patch_for(&status, &report).is_some() {
            self.states.with(parent, |state| state.put_report(report));
            self.work.change(|queue| queue.report(key.clone(), now));
        }
    }

    /// Notes the outcome in the trial, if there is one. A failure that the module before would not have had
    /// is not told to the parent until the trial is over: most likely it is the module's, and undone.
    fn is_withheld(&self, running: &RunningModule, key: &Key, pass: &Pass) -> bool {
        let Some(verdict) = &pass.verdict else {
            return false;
        };
        let fails_newly = pass.fails_newly.then_some(verdict);
        let (is_withheld, failure) = running.note(key, fails_newly, self.parents.cache.len());
        if let Some(failure) = failure {
            self.trial_failed(running, failure);
        }
        is_withheld
    }

    /// Compared with what will be written if that is known already, else with what the parent says.
    fn is_news(&self, parent: &Object, status: &Value, verdict: &Verdict) -> bool {
        let pending = self.states.with(parent, |state| {
            let report = state.report.as_ref();
            report.map(|report| report.verdict != *verdict)
        });
        pending
            .unwrap_or_else(|| ConditionChange::of(verdict, status) == ConditionChange::Transition)
    }

    /// Whether the module before the one on trial would have done better on the same input: it decides, and
    /// decides otherwise than for the children that the API server refused.
    async fn fails_newly(
        &self,
        running: &RunningModule,
        parent: &Arc<Object>,
        observed: &[(Kind, Arc<Object>)],
        refused: Option<&Children<Checked>>,
    ) -> bool {
        let Some(before) = running.before() else {
            return false;
        };
        let decided = decide(&before, parent, observed, &self.metrics).await;
        match (decided, refused) {
            (Err(_), _) => false,
            (Ok(_), None) => true,
            (Ok(decision), Some(refused)) => !decision.desired.are_same_as(refused),
        }
    }
}
