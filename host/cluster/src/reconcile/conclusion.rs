use std::sync::atomic::Ordering;
use std::time::Instant;

use handler_host_core::{
    ConditionChange, Key, Object, PassOutcome, Reason, Requeue, Severity, TrialStep, Verdict,
    reported_failure,
};
use serde_json::Value;

use super::controller::Controller;
use super::fingerprint::Fingerprint;
use super::parent_states::Report;
use super::pass::Pass;
use super::running_module::RunningModule;
use crate::metrics::PassResult;

impl Controller {
    /// Remembers what a pass came to, makes the next appointment, and has a report written if there is news. Says whether that
    /// is to be written at once.
    pub(super) fn conclude(
        &self,
        running: &RunningModule,
        key: &Key,
        parent: &Object,
        pass: Pass,
    ) -> bool {
        let Pass {
            outcome,
            fingerprint,
            fails_newly,
            ..
        } = pass;
        let now = Instant::now();
        let input = Fingerprint::of_parent(running.identity, parent);
        let unstable = self.states.with(parent, |state| {
            state.settling.note(input, &outcome.changes, now);
            state.settling.unstable(input, now)
        });
        // The handler is called again after what it wrote, until nothing is left to write. An unstable parent waits.
        let is_called_again = unstable.is_none() && outcome.has_written();
        // What is noted was all written by this module: another one begins anew.
        let fails_newly = fails_newly
            || unstable.is_some()
                && running.before().is_some()
                && self.reported_failure(parent).is_none();
        let outcome = match unstable {
            Some(unstable) => outcome.unsettled(unstable, now),
            None => outcome,
        };
        let outcome = self.tried(running, key, parent, outcome, fails_newly);
        self.log_problem(parent, outcome.problem.as_deref());
        let requeue = outcome.requeue;
        match requeue {
            Requeue::Backoff { .. } => self.metrics.put_off(),
            Requeue::Never | Requeue::After(_) => {}
        }
        let retry_at = self.states.with(parent, |state| {
            state.fingerprint = fingerprint.filter(|_| outcome.is_settled());
            let jitter = fastrand::f64();
            let delay = requeue.delay(&mut state.failures, self.backoff, jitter);
            delay.map(|delay| now + delay)
        });
        self.queue.change(|queue| {
            match retry_at {
                Some(at) => queue.retry_at(key.clone(), at),
                None => queue.cancel_timer(key),
            }
            if is_called_again {
                queue.add(key.clone());
            }
        });
        self.put_report(running, key, parent, outcome, now)
    }

    /// The outcome as far as the parent is told of it: what a module on trial fails newly is withheld.
    fn tried(
        &self,
        running: &RunningModule,
        key: &Key,
        parent: &Object,
        outcome: PassOutcome,
        fails_newly: bool,
    ) -> PassOutcome {
        let Some(verdict) = &outcome.verdict else {
            return outcome;
        };
        let new_failure = fails_newly.then_some(verdict);
        match running.note(key, new_failure, self.parents.cache.len()) {
            TrialStep::Report => outcome,
            TrialStep::Withhold => {
                self.notice(running, parent, verdict);
                outcome.withheld()
            }
            TrialStep::Fail(failure) => {
                self.notice(running, parent, verdict);
                self.trial_failed(running, failure);
                outcome.withheld()
            }
        }
    }

    /// Has the author of a parent told of a failure that its status does not show, once for each module.
    fn notice(&self, running: &RunningModule, parent: &Object, verdict: &Verdict) {
        let digest = running.digest();
        let is_news = self.states.with(parent, |state| {
            let is_news = state.noticed != Some(digest);
            if is_news {
                state.noticed = Some(digest);
                state.notice = Some(Box::new(verdict.withheld(digest)));
            }
            is_news
        });
        if is_news {
            let key = parent.key();
            self.queue.change(|queue| queue.report(key, Instant::now()));
        }
    }

    fn log_problem(&self, parent: &Object, problem: Option<&str>) {
        let had_problem = self.states.with(parent, |state| {
            std::mem::replace(&mut state.has_problem, problem.is_some())
        });
        match problem {
            Some(problem) => self.write_problems.report(&problem),
            None if had_problem => self.write_problems.resolve(),
            None => {}
        }
    }

    /// Has the parent told what a pass came to, if there is news. Says whether that is to be written at once.
    pub(super) fn put_report(
        &self,
        running: &RunningModule,
        key: &Key,
        parent: &Object,
        outcome: PassOutcome,
        now: Instant,
    ) -> bool {
        let Some(verdict) = &outcome.verdict else {
            return false;
        };
        self.states.with(parent, |state| {
            state.is_failing = verdict.reason.is_failure();
        });
        let change = if self.keeps_conditions() {
            let change = self.with_status(parent, |status| self.change(parent, status, verdict));
            if change.is_none() {
                self.warn_of_status(key);
            }
            change
        } else {
            None
        };
        let change = change.unwrap_or_else(|| {
            self.states.with(parent, |state| {
                let told = state.told.replace(Box::new(verdict.clone()));
                ConditionChange::since(told.as_deref(), verdict, outcome.has_written())
            })
        });
        if change == ConditionChange::Transition {
            self.log_verdict(key, verdict);
        }
        let Some(told) = outcome.report(change) else {
            return false;
        };
        let report = Report {
            told,
            digest: running.digest(),
            generation: parent.meta.generation,
        };
        let patch = self.with_status(parent, |status| self.patch_for(status, &report).is_some());
        if report.told.events.is_empty() && patch != Some(true) {
            return false;
        }
        let is_large = report.has_large_status() || self.states.has_many_reports();
        self.states.put_report(parent, report);
        if !is_large {
            self.queue.change(|queue| queue.report(key.clone(), now));
        }
        is_large
    }

    /// Says once that a status is too large to be looked at.
    fn warn_of_status(&self, key: &Key) {
        if !self.told_large_status.swap(true, Ordering::Relaxed) {
            let kind = &self.grant.parent.kind;
            let message = format!(
                "the status of {kind} {key} takes more memory than the host has for an answer, so it is not written any more; make it \
                 smaller, or give the host more memory"
            );
            self.warn("StatusTooLarge", message);
        }
    }

    /// The failure that a parent's condition says.
    pub(super) fn reported_failure(&self, parent: &Object) -> Option<Reason> {
        let failure = self.with_status(parent, |status| {
            reported_failure(status, &self.grant.condition)
        });
        failure.flatten()
    }

    /// Compares a verdict with what will be written, if that is known already, else with what the parent says.
    fn change(&self, parent: &Object, status: &Value, verdict: &Verdict) -> ConditionChange {
        let pending = self.states.with(parent, |state| {
            let waiting = state.waiting_verdict()?;
            Some(ConditionChange::between(waiting, verdict))
        });
        pending.unwrap_or_else(|| ConditionChange::of(verdict, status, &self.grant.condition))
    }

    /// Logs a transition.
    pub(super) fn log_verdict(&self, key: &Key, verdict: &Verdict) {
        let (handler, reason) = (&self.grant.handler, verdict.reason.as_str());
        match verdict.reason.severity() {
            Severity::Normal => {
                tracing::debug!(%handler, object = %key, reason, "{}", verdict.message);
            }
            Severity::Warning => {
                tracing::warn!(%handler, object = %key, reason, "{}", verdict.message);
            }
        }
    }
}

impl From<Requeue> for PassResult {
    fn from(requeue: Requeue) -> Self {
        match requeue {
            Requeue::Never => Self::Success,
            Requeue::After(_) => Self::RequeueAfter,
            Requeue::Backoff { .. } => Self::Error,
        }
    }
}
