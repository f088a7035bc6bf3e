use std::time::Duration;

use handler_host_core::{
    APPLIED_ANNOTATION, Child, ChildRef, Grant, Kind, Object, Step, accepted_mark,
};
use kube::Client;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::fingerprint::Fingerprint;
use super::parent_states::ParentStates;
use crate::api::{ApiError, Effect, Expected, Requests, answered};
use crate::metrics::{HandlerMetrics, LabelValue as _, TRACES, Write, WriteOutcome};
use crate::watching::{ContestedNames, WatchedKind, WorkQueue};

/// Carries out the steps for one parent.
pub(crate) struct Executor<'a> {
    pub(crate) client: &'a Client,
    pub(crate) grant: &'a Grant,
    pub(crate) kinds: &'a [WatchedKind],
    pub(crate) states: &'a ParentStates,
    pub(crate) conflicts: &'a ContestedNames,
    pub(crate) work: &'a WorkQueue,
    pub(crate) metrics: &'a HandlerMetrics,
    pub(crate) parent: &'a Object,
}

/// What became of the steps.
pub(crate) struct Applied {
    /// What was written, in words for Events.
    pub(crate) changes: Vec<String>,
    /// The first thing that went wrong; nothing was deleted after it.
    pub(crate) problem: Option<Problem>,
    /// The first child that is being deleted and will be made again.
    pub(crate) awaited: Option<ChildRef>,
    /// The children at whose names foreign objects stand.
    pub(crate) contested: Vec<ChildRef>,
    /// The versions left behind.
    pub(crate) fingerprint: Fingerprint,
}

/// Why a child is not as desired.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A foreign object has its name.
    Foreign(ChildRef),
    /// The API server refused it.
    Rejected(ChildRef, String),
    /// The API server cannot answer.
    Unavailable(String, Option<Duration>),
    /// The cluster is not what the plan was made for; the next look will see.
    Stale,
}

impl Executor<'_> {
    pub(crate) async fn steps(&self, steps: &[Step<'_>], observed: Fingerprint) -> Applied {
        let mut applied = Applied {
            changes: Vec::new(),
            problem: None,
            awaited: None,
            contested: Vec::new(),
            fingerprint: observed,
        };
        for step in steps {
            let outcome = match step {
                Step::Create(child) => self.create(child, &mut applied).await,
                Step::Update { child, observed } => {
                    self.update(child, observed, &mut applied).await
                }
                Step::AwaitDeletion(child) => {
                    applied.awaited.get_or_insert_with(|| child.clone());
                    Ok(())
                }
                // What is to replace it may be missing: nothing is taken away after a failure.
                Step::Delete { .. } if applied.problem.is_some() => Ok(()),
                Step::Delete { child, uid } => self.delete(child, uid, &mut applied).await,
            };
            if let Err(problem) = outcome {
                applied.problem.get_or_insert(problem);
            }
            // Many steps may take long where the API server is slow, and yet move.
            self.work.moves();
        }
        applied
    }

    async fn create(&self, child: &Child, applied: &mut Applied) -> Result<(), Problem> {
        match self.patch(child, Expected::Nothing, Write::Create).await {
            Ok(object) => {
                self.wrote(child, object, "created", "Created", applied);
                Ok(())
            }
            Err(ApiError::Conflict) => self.meet(child, applied).await,
            Err(refusal) => Err(problem_of(&child.name(), refusal)),
        }
    }

    /// An object of the child's name exists though none was observed: it is foreign, or it is ours and
    /// lost the labels we watch by.
    async fn meet(&self, child: &Child, applied: &mut Applied) -> Result<(), Problem> {
        let name = child.name();
        self.conflicts.contest(&name, &self.parent.key());
        // Also while it goes: its end is the news to wait for, and may come before this pass is over.
        applied.contested.push(name.clone());
        let kind = self.kind(&child.kind)?;
        let api = kind.served.api(self.client, child.key.namespace.as_deref());
        let found = match answered(api.get(&child.key.name)).await {
            Ok(found) => found.into_object(&child.kind).ok_or(Problem::Stale)?,
            Err(ApiError::NotFound(_) | ApiError::Conflict) => return Err(Problem::Stale),
            Err(refusal @ (ApiError::Rejected(_) | ApiError::Unavailable(..))) => {
                return Err(problem_of(&name, refusal));
            }
        };
        if !found.is_child_of(self.parent, &self.grant.handler) {
            self.conflicts.seen(&name, &found);
            return Err(Problem::Foreign(name));
        }
        if found.is_deleting() {
            return Err(Problem::Stale);
        }
        applied.contested.pop();
        if accepted_mark(child, &found).is_none() {
            // As desired; only the news of it has not arrived.
            applied.fingerprint.applied(&child.kind, &found);
            kind.cache.insert(found);
            return Ok(());
        }
        self.update(child, &found, applied).await
    }

    async fn update(
        &self,
        child: &Child,
        observed: &Object,
        applied: &mut Applied,
    ) -> Result<(), Problem> {
        let patched = self
            .patch(child, Expected::Object(&observed.meta.uid), Write::Apply)
            .await;
        let object = patched.map_err(|refusal| problem_of(&child.name(), refusal))?;
        let was_applied = observed.meta.annotations.get(APPLIED_ANNOTATION);
        if was_applied == Some(child.digest.to_string().as_str()) {
            self.wrote(child, object, "restored", "Restored", applied);
        } else {
            self.wrote(child, object, "updated", "Updated", applied);
        }
        Ok(())
    }

    async fn delete(
        &self,
        child: &ChildRef,
        uid: &str,
        applied: &mut Applied,
    ) -> Result<(), Problem> {
        let served = &self.kind(&child.kind)?.served;
        let requests = self.requests();
        let deletion = answered(requests.delete(served, child, uid));
        match self.written(Write::Delete, child, deletion).await {
            Ok(()) => {
                tracing::info!(handler = %self.grant.handler, object = %self.parent.key(), name = %child.key.name, "{} child is deleted", child.kind.spoken());
                applied
                    .changes
                    .push(format!("Deleted {} {}", child.kind.kind, child.key.name));
                Ok(())
            }
            // Gone already, or another object by now: either way not ours to delete any more.
            Err(ApiError::NotFound(_) | ApiError::Conflict) => Ok(()),
            Err(refusal @ (ApiError::Rejected(_) | ApiError::Unavailable(..))) => {
                Err(problem_of(child, refusal))
            }
        }
    }

    async fn patch(
        &self,
        child: &Child,
        expected: Expected<'_>,
        write: Write,
    ) -> Result<Object, ApiError> {
        let Ok(kind) = self.kind(&child.kind) else {
            return Err(ApiError::Conflict);
        };
        let requests = self.requests();
        let patch = answered(requests.apply(&kind.served, child, expected));
        let answer = self.written(write, &child.name(), patch).await?;
        answer.into_object(&child.kind).ok_or(ApiError::Conflict)
    }

    /// A measured and traced write.
    async fn written<T>(
        &self,
        write: Write,
        child: &ChildRef,
        request: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let span = tracing::info_span!(
            target: TRACES, "apply", otel.kind = "client", write = write.as_str(),
            kind = &*child.kind.kind, name = &*child.key.name, outcome = Empty,
        );
        let written = request.instrument(span.clone()).await;
        let outcome = WriteOutcome::from(&written);
        span.record("outcome", outcome.as_str());
        self.metrics.wrote(write, outcome);
        written
    }

    fn requests(&self) -> Requests<'_> {
        Requests {
            client: self.client,
            grant: self.grant,
            effect: Effect::Real,
        }
    }

    fn wrote(&self, child: &Child, object: Object, done: &str, verb: &str, applied: &mut Applied) {
        let mark = accepted_mark(child, &object);
        self.states.with(self.parent, |state| match mark {
            Some(mark) => {
                state.accepted.insert(child.name(), mark);
            }
            None => {
                state.accepted.remove(&child.name());
            }
        });
        applied.fingerprint.applied(&child.kind, &object);
        if let Ok(kind) = self.kind(&child.kind) {
            kind.cache.insert(object);
        }
        tracing::info!(handler = %self.grant.handler, object = %self.parent.key(), name = %child.key.name, "{} child is {done}", child.kind.spoken());
        applied
            .changes
            .push(format!("{verb} {} {}", child.kind.kind, child.key.name));
    }

    /// The checked kinds are the granted ones, and those are served; a miss means the world changed.
    fn kind(&self, kind: &Kind) -> Result<&WatchedKind, Problem> {
        let mut kinds = self.kinds.iter();
        kinds
            .find(|known| known.served.kind == *kind)
            .ok_or(Problem::Stale)
    }
}

fn problem_of(child: &ChildRef, refusal: ApiError) -> Problem {
    match refusal {
        ApiError::Conflict => Problem::Stale,
        ApiError::NotFound(message) | ApiError::Rejected(message) => {
            Problem::Rejected(child.clone(), message)
        }
        ApiError::Unavailable(message, delay) => Problem::Unavailable(message, delay),
    }
}
