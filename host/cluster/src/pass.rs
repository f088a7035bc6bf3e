use std::time::Duration;

use handler_host_core::{Failure, Readiness, Reason, Response, Verdict};
use serde_json::{Map, Value};

use crate::apply::{Applied, Problem};
use crate::fingerprint::Fingerprint;

/// What one pass over a parent came to.
pub(crate) struct Pass {
    /// None if the API server could not answer: that is no verdict on the parent.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) response: Response,
    pub(crate) status: Option<Map<String, Value>>,
    pub(crate) changes: Vec<String>,
    pub(crate) again: Again,
    pub(crate) fingerprint: Option<Fingerprint>,
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
            fingerprint: None,
        }
    }

    pub(crate) fn failed(failure: &Failure, fingerprint: Fingerprint) -> Self {
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
    pub(crate) fn denied(message: String, fingerprint: Fingerprint) -> Self {
        let mut pass = Self::again(Again::Never);
        pass.verdict = Some(Verdict::new(Reason::Denied, message));
        pass.fingerprint = Some(fingerprint);
        pass
    }

    pub(crate) fn applied(
        response: Response,
        status: Option<Map<String, Value>>,
        applied: Applied,
        children: usize,
    ) -> Self {
        let (verdict, again, is_settled) = match applied.problem {
            None => {
                let verdict = match &response.readiness {
                    Readiness::Ready => Verdict::reconciled(children),
                    Readiness::Waiting(message) => Verdict::new(Reason::Waiting, message),
                };
                let again = response.requeue_after.map_or(Again::Never, Again::After);
                (Some(verdict), again, true)
            }
            Some(Problem::Foreign(child)) => {
                let message = format!(
                    "{} {} exists and is not this object's; delete or rename it, or rename this object",
                    child.kind.kind, child.key.name
                );
                (
                    Some(Verdict::new(Reason::Conflict, message)),
                    Again::Backoff(None),
                    true,
                )
            }
            Some(Problem::Rejected(child, message)) => {
                let message = format!(
                    "the API server refused {} {}: {message}",
                    child.kind.kind, child.key.name
                );
                (
                    Some(Verdict::new(Reason::Rejected, message)),
                    Again::Backoff(None),
                    true,
                )
            }
            Some(Problem::Unavailable(message, delay)) => {
                tracing::debug!("the API server cannot answer: {message}");
                (None, Again::Backoff(delay), false)
            }
            Some(Problem::Stale) => (None, Again::Backoff(None), false),
        };
        Self {
            verdict,
            response,
            status,
            changes: applied.changes,
            again,
            fingerprint: is_settled.then_some(applied.fingerprint),
        }
    }
}
