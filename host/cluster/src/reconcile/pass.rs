use std::time::Duration;

use handler_host_core::{Denied, Failure, Readiness, Reason, Response, Severity, Verdict};
use serde_json::{Map, Value};

use super::decide::Undecided;
use super::executor::{Applied, Problem};
use super::fingerprint::Fingerprint;
use crate::metrics::PassResult;

/// What one pass over a parent came to.
pub(crate) struct Pass {
    /// None if the API server could not answer: that is no verdict on the parent.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) response: Response,
    pub(crate) status: Option<Map<String, Value>>,
    pub(crate) changes: Vec<String>,
    pub(crate) again: Again,
    /// What kept the API server from answering.
    pub(crate) trouble: Option<String>,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Whether it is a failure that the module before would not have had.
    pub(crate) fails_newly: bool,
}

/// When to look at the parent again though nothing changed.
pub(crate) enum Again {
    Never,
    After(Duration),
    Backoff(Option<Duration>),
}

impl Pass {
    pub(crate) fn again(again: Again) -> Self {
        Self {
            verdict: None,
            response: Response::default(),
            status: None,
            changes: Vec::new(),
            again,
            trouble: None,
            fingerprint: None,
            fails_newly: false,
        }
    }

    /// The module gave nothing that may be applied.
    pub(crate) fn undecided(undecided: Undecided, fingerprint: Fingerprint) -> Self {
        match undecided {
            Undecided::Failed(failure) => Self::failed(&failure, fingerprint),
            Undecided::Denied(denied) => Self::denied(&denied, fingerprint),
        }
    }

    fn failed(failure: &Failure, fingerprint: Fingerprint) -> Self {
        let mut pass = Self::again(match failure {
            Failure::Permanent(_) => Again::Never,
            Failure::Temporary {
                delay: Some(delay), ..
            } => Again::After(*delay),
            Failure::Temporary { delay: None, .. } | Failure::Fault(_) => Again::Backoff(None),
        });
        pass.verdict = Some(Verdict::of_failure(failure));
        pass.fingerprint = Some(fingerprint);
        pass
    }

    /// The handler would say the same again: it is asked when something changed.
    fn denied(denied: &Denied, fingerprint: Fingerprint) -> Self {
        let mut pass = Self::again(Again::Never);
        pass.verdict = Some(Verdict::new(Reason::Denied, denied.to_string()));
        pass.fingerprint = Some(fingerprint);
        pass
    }

    /// What it came to, for those who count.
    pub(crate) fn result(&self) -> PassResult {
        match self.again {
            Again::Never => PassResult::Success,
            Again::After(_) => PassResult::RequeueAfter,
            Again::Backoff(_) => PassResult::Error,
        }
    }

    /// Whether the handler has nothing more to do for a parent that is being deleted.
    pub(crate) fn has_nothing_left(&self) -> bool {
        let is_answered = match &self.verdict {
            Some(verdict) => matches!(verdict.reason, Reason::Reconciled | Reason::Waiting),
            None => false,
        };
        is_answered && self.response.children.is_empty() && self.changes.is_empty()
    }

    /// Whether something went wrong that another module may do better.
    pub(crate) fn has_failed(&self) -> bool {
        let verdict = self.verdict.as_ref();
        verdict.is_some_and(|verdict| verdict.reason.is_modules_failure())
    }

    pub(crate) fn applied(
        mut response: Response,
        mut status: Option<Map<String, Value>>,
        applied: Applied,
        children: usize,
    ) -> Self {
        let refused = |verdict| (Some(verdict), Again::Backoff(None), true);
        let mut trouble = None;
        let (verdict, again, is_settled) = match applied.problem {
            None => {
                let verdict = match (&applied.awaited, &response.readiness) {
                    (Some(child), _) => {
                        let name = format!("{} {}", child.kind.kind, child.key.name);
                        let message =
                            format!("{name} is being deleted; it is made again when it is gone");
                        Verdict::new(Reason::Waiting, message)
                    }
                    (None, Readiness::Ready) => Verdict::reconciled(children),
                    (None, Readiness::Waiting(message)) => Verdict::new(Reason::Waiting, message),
                };
                let again = response.requeue_after.map_or(Again::Never, Again::After);
                (Some(verdict), again, true)
            }
            Some(Problem::Foreign(child)) => refused(Verdict::foreign(&child)),
            Some(Problem::Rejected(child, message)) => refused(Verdict::rejected(&child, &message)),
            Some(Problem::Unavailable(message, delay)) => {
                trouble = Some(message);
                (None, Again::Backoff(delay), false)
            }
            Some(Problem::Stale) => (None, Again::Backoff(None), false),
        };
        // What the handler says of its children must not be told of children that were refused.
        let is_applied = verdict
            .as_ref()
            .is_some_and(|verdict| verdict.reason.severity() == Severity::Normal);
        if !is_applied {
            status = None;
            response.events.clear();
        }
        Self {
            verdict,
            response,
            status,
            changes: applied.changes,
            again,
            trouble,
            fingerprint: is_settled.then_some(applied.fingerprint),
            fails_newly: false,
        }
    }
}
