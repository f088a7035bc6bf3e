use std::borrow::Cow;
use std::sync::Arc;

use handler_host_core::{
    APPLIED_ANNOTATION, Adoption, Child, ChildProblem, ChildRef, Claimant, Done, Grant,
    OBJECT_MEMORY, Object, Ownership, Step, accepted_mark,
};
use kube::Client;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::executed::{ChildWrite, Executed};
use super::parent_states::ParentStates;
use super::write_budget::WriteBudget;
use crate::api::{ApiError, Expected, Requests, answered, answered_with_retries, missing};
use crate::metrics::{HandlerMetrics, LabelValue as _, TRACES, Write, WriteOutcome};
use crate::watching::{ContestedNames, NoRoom, WatchedKind, WorkQueue};

/// How often a dry run writes a child that is changed by others meanwhile.
pub(crate) const DRY_RUN_ATTEMPTS: u32 = 3;
/// How often a pass writes a child: another pass follows where the cluster changes.
const ATTEMPTS: u32 = 2;

/// Carries out the steps for one parent, for real or as a dry run. Both are one executor, so that a preview does
/// not differ from the pass that it previews.
pub(crate) struct Executor<'a> {
    pub(crate) client: &'a Client,
    pub(crate) grant: &'a Grant,
    pub(crate) kinds: &'a [WatchedKind],
    pub(crate) parent: &'a Object,
    /// Whether a parent with a uid exists.
    pub(crate) is_living: &'a (dyn Fn(&str) -> bool + Sync),
    pub(crate) effect: Effect<'a>,
}

/// Whether steps change anything.
pub(crate) enum Effect<'a> {
    /// Children are written, and what became of them is remembered.
    Real(PassMemory<'a>),
    /// The API server goes through all requests but stores nothing, and nothing is remembered. No later pass
    /// corrects a preview, so requests that are put off are made again, children that others change are read
    /// again, and the first request without an answer ends the run.
    DryRun,
}

/// Where a pass remembers what it wrote.
#[derive(Clone, Copy)]
pub(crate) struct PassMemory<'a> {
    pub(crate) states: &'a ParentStates,
    pub(crate) contested: &'a ContestedNames,
    pub(crate) queue: &'a WorkQueue,
    pub(crate) metrics: &'a HandlerMetrics,
    pub(crate) budget: &'a WriteBudget,
}

/// What stands at the name of a child that could not be written as planned, if it is not foreign.
enum FoundAtName {
    Nothing,
    BeingDeleted,
    AsDesired(Object),
    Different(Object),
    Adoptable(Object, Adoption),
}

impl Executor<'_> {
    pub(crate) async fn run<'s>(&self, steps: &'s [Step<'s>]) -> Executed<'s> {
        let mut executed = Executed::default();
        for step in steps {
            let outcome = match step {
                Step::Create(child) => self.apply(child, None, &mut executed).await,
                Step::Update { child, observed } => {
                    self.apply(child, Some(observed), &mut executed).await
                }
                Step::AwaitDeletion(child) => {
                    executed.awaited.get_or_insert_with(|| child.clone());
                    Ok(())
                }
                // Without an answer nobody knows whether it can be made again.
                Step::Recreate { child, .. } if executed.has_outage() => {
                    executed.awaited.get_or_insert_with(|| child.name());
                    Ok(())
                }
                Step::Recreate { child, observed } => {
                    self.recreate(child, observed, &mut executed).await
                }
                // What is to replace it may be missing.
                Step::Delete { child, .. } if executed.holds_back(child) => Ok(()),
                Step::Delete { child, uid } => self.delete(child, uid, &mut executed).await,
            };
            if let Err(problem) = outcome {
                // Half a preview would look like a small change.
                if let (ChildProblem::Unavailable { .. }, Effect::DryRun) = (&problem, &self.effect)
                {
                    executed.problem = Some(problem);
                    return executed;
                }
                executed.failed(step, problem);
            }
            if let Effect::Real(memory) = &self.effect {
                // Many steps may take long where the API server is slow, and yet the worker moves.
                memory.queue.beat();
            }
        }
        executed
    }

    /// Applies a child to what was observed of it. An object may exist though none was observed: it is foreign,
    /// or it is ours and lost the labels that we watch by.
    async fn apply<'s>(
        &self,
        child: &'s Child,
        observed: Option<&'s Object>,
        executed: &mut Executed<'s>,
    ) -> Result<(), ChildProblem> {
        let name = child.name();
        if let Some(problem) = self.hindrance(child, observed) {
            return Err(problem);
        }
        let mut before = observed.map(Cow::Borrowed);
        let mut adoption = None;
        for _ in 0..self.effect.attempts() {
            match self.patch(child, before.as_deref()).await {
                Ok(after) => {
                    let write = self.written(child, before, after, adoption);
                    executed.writes.push((name, write));
                    return Ok(());
                }
                Err(ApiError::Conflict) if before.is_none() || self.effect.is_dry_run() => {}
                Err(error) => return Err(self.problem_of(name, error)),
            }
            if let Effect::Real(memory) = &self.effect {
                memory.contested.add(&name, &self.parent.key());
                // Also while it goes: its end is the news to wait for, and may come before this pass is over.
                executed.contested.push(name.clone());
            }
            before = match (self.find_at_name(child).await?, &self.effect) {
                (FoundAtName::Nothing | FoundAtName::BeingDeleted, Effect::Real(_)) => {
                    return Err(ChildProblem::Stale(name));
                }
                (FoundAtName::BeingDeleted, Effect::DryRun) => return Ok(()),
                (FoundAtName::Nothing, Effect::DryRun) => None,
                (FoundAtName::AsDesired(found), _) => {
                    let found = self.remember(child, found);
                    // By the cache it was deleted after this version: meanwhile, or before an older copy of the cluster was
                    // restored. Nothing would tell of its end then.
                    if !self.is_cached(&name, &found) {
                        return Err(ChildProblem::Stale(name));
                    }
                    executed.contested.pop();
                    executed.writes.push((name, ChildWrite::AsDesired));
                    return Ok(());
                }
                (FoundAtName::Different(found), _) => {
                    executed.contested.pop();
                    Some(Cow::Owned(found))
                }
                (FoundAtName::Adoptable(found, why), _) => {
                    executed.contested.pop();
                    adoption = Some(why);
                    Some(Cow::Owned(found))
                }
            };
        }
        Err(ChildProblem::Stale(name))
    }

    /// Why a child cannot be written before anything is tried: its kind is not served, or the host has no memory for it.
    fn hindrance(&self, child: &Child, observed: Option<&Object>) -> Option<ChildProblem> {
        let child_ref = child.name();
        let Some(kind) = self.kind(&child_ref) else {
            return Some(unserved(&child_ref));
        };
        let now = observed.map_or(0, Object::memory);
        let more = (child.bytes + OBJECT_MEMORY).saturating_sub(now);
        if self.effect.is_dry_run() || more == 0 {
            return None;
        }
        let NoRoom { held, left } = kind.cache.has_room(more).err()?;
        Some(ChildProblem::NoMemory {
            child: child_ref,
            held,
            left,
        })
    }

    /// Looks at what stands at a child's name.
    async fn find_at_name(&self, child: &Child) -> Result<FoundAtName, ChildProblem> {
        let name = child.name();
        let Some(kind) = self.kind(&name) else {
            return Err(unserved(&name));
        };
        let api = kind.served.api(self.client, child.key.namespace.as_deref());
        let found = match self.send(|| api.get(&child.key.name)).await {
            Ok(found) => found.into_object(&child.kind),
            Err(ApiError::NotFound(_) | ApiError::Conflict) => None,
            Err(error) => return Err(self.problem_of(name, error)),
        };
        let Some(found) = found else {
            return Ok(FoundAtName::Nothing);
        };
        let claimant = Claimant {
            parent: self.parent,
            grant: self.grant,
        };
        let ownership = claimant.ownership(&child.kind, &found, self.is_living);
        Ok(match ownership {
            Ownership::Foreign(foreign) => {
                if let Effect::Real(memory) = &self.effect {
                    memory.contested.set_version(&name, &found);
                }
                return Err(ChildProblem::Foreign(name, foreign));
            }
            Ownership::Child | Ownership::Adoptable(_) if found.is_deleting() => {
                FoundAtName::BeingDeleted
            }
            Ownership::Adoptable(adoption) => FoundAtName::Adoptable(found, adoption),
            Ownership::Child if accepted_mark(child, &found).is_none() => {
                FoundAtName::AsDesired(found)
            }
            Ownership::Child => FoundAtName::Different(found),
        })
    }

    /// Deletes a child that another pass makes again. A dry run cannot make it as long as it is there, so it shows what would
    /// be sent.
    async fn recreate<'s>(
        &self,
        child: &'s Child,
        observed: &'s Object,
        executed: &mut Executed<'s>,
    ) -> Result<(), ChildProblem> {
        let name = child.name();
        self.delete(&name, &observed.meta.uid, executed).await?;
        match &self.effect {
            Effect::Real(_) => {
                executed.awaited.get_or_insert(name);
            }
            Effect::DryRun => {
                // The body was made from an object, so it is one.
                if let Ok(made) = Object::parse(&child.kind, &child.body.to_string()) {
                    let write = ChildWrite::Created(Arc::new(made));
                    executed.writes.push((name, write));
                }
            }
        }
        Ok(())
    }

    async fn delete<'s>(
        &self,
        child: &ChildRef,
        uid: &'s str,
        executed: &mut Executed<'s>,
    ) -> Result<(), ChildProblem> {
        let Some(WatchedKind { served, .. }) = self.kind(child) else {
            return Err(unserved(child));
        };
        let requests = self.requests();
        let deletion = self.send(|| requests.delete(served, child, uid));
        match self.measured(Write::Delete, child, deletion).await {
            Ok(()) => {
                self.log(child, "deleted");
                let write = (child.clone(), ChildWrite::Deleted(uid));
                executed.writes.push(write);
                Ok(())
            }
            // Gone already, or another object by now: either way not ours to delete any more.
            Err(ApiError::NotFound(_) | ApiError::Conflict) => Ok(()),
            Err(error) => Err(self.problem_of(child.clone(), error)),
        }
    }

    async fn patch(&self, child: &Child, before: Option<&Object>) -> Result<Object, ApiError> {
        let name = child.name();
        let Some(kind) = self.kind(&name) else {
            return Err(ApiError::Conflict);
        };
        let (write, expected) = match before {
            None => (Write::Create, Expected::Nothing),
            Some(before) => (Write::Apply, Expected::Object(&before.meta.uid)),
        };
        if let Effect::Real(memory) = &self.effect {
            memory.budget.take(child.bytes);
        }
        let requests = self.requests();
        let patch = self.send(|| requests.apply(&kind.served, child, expected));
        let answer = self.measured(write, &name, patch).await?;
        answer.into_object(&child.kind).ok_or(ApiError::Conflict)
    }

    /// Makes a request. That of a dry run has no later pass to wait for.
    async fn send<T, F>(&self, request: impl Fn() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        match &self.effect {
            Effect::Real(_) => answered(request()).await,
            Effect::DryRun => answered_with_retries(request).await,
        }
    }

    /// Measures and traces a real write.
    async fn measured<T>(
        &self,
        write: Write,
        child: &ChildRef,
        request: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let Effect::Real(memory) = &self.effect else {
            return request.await;
        };
        let span = tracing::info_span!(
            target: TRACES, "apply", otel.kind = "client", write = write.as_str(),
            kind = &*child.kind.kind, name = &*child.key.name, outcome = Empty,
        );
        let written = request.instrument(span.clone()).await;
        let outcome = WriteOutcome::from(&written);
        span.record("outcome", outcome.as_str());
        memory.metrics.wrote(write, outcome);
        written
    }

    fn requests(&self) -> Requests<'_> {
        Requests {
            client: self.client,
            grant: self.grant,
            is_dry_run: self.effect.is_dry_run(),
        }
    }

    fn written<'s>(
        &self,
        child: &Child,
        before: Option<Cow<'s, Object>>,
        after: Object,
        adoption: Option<Adoption>,
    ) -> ChildWrite<'s> {
        if let Effect::Real(memory) = &self.effect {
            let mark = accepted_mark(child, &after);
            memory.states.with(self.parent, |state| match mark {
                Some(mark) => state.accepted.insert(child.name(), mark),
                None => state.accepted.remove(&child.name()),
            });
        }
        let after = self.remember(child, after);
        let Some(before) = before else {
            self.log(&child.name(), "created");
            return ChildWrite::Created(after);
        };
        let digest = child.digest.to_string();
        let is_same = before.meta.annotations.get(APPLIED_ANNOTATION) == Some(digest.as_str());
        let (done, word) = match adoption {
            Some(Adoption::Orphan | Adoption::HandedOver) => (Done::Adopted, "adopted"),
            Some(Adoption::Own) => (Done::Restored, "restored"),
            None if is_same => (Done::Restored, "restored"),
            None => (Done::Updated, "updated"),
        };
        self.log(&child.name(), word);
        ChildWrite::Applied {
            before,
            after,
            done,
        }
    }

    /// Takes an answer into the cache, before the watch brings it.
    fn remember(&self, child: &Child, answer: Object) -> Arc<Object> {
        let answer = Arc::new(answer);
        if let (Effect::Real(_), Some(kind)) = (&self.effect, self.kind(&child.name())) {
            kind.cache.insert(answer.clone());
        }
        answer
    }

    /// Whether the cache holds this object; also in a dry run, which stores nothing.
    fn is_cached(&self, name: &ChildRef, object: &Object) -> bool {
        self.effect.is_dry_run()
            || self.kind(name).is_some_and(|kind| {
                let cached = kind.cache.get(&name.key);
                cached.is_some_and(|cached| cached.meta.uid == object.meta.uid)
            })
    }

    fn log(&self, child: &ChildRef, done: &str) {
        if let Effect::Real(_) = &self.effect {
            tracing::info!(handler = %self.grant.handler, object = %self.parent.key(), name = %child.key.name, "{} child is {done}", child.kind.spoken());
        }
    }

    fn problem_of(&self, child: ChildRef, error: ApiError) -> ChildProblem {
        match error {
            ApiError::Conflict => ChildProblem::Stale(child),
            ApiError::Terminating(_)
                if child.key.namespace.as_deref() == self.parent.meta.namespace.as_deref() =>
            {
                ChildProblem::Terminating(child)
            }
            ApiError::NotFound(message)
            | ApiError::Rejected(message)
            | ApiError::Terminating(message) => ChildProblem::Rejected(child, message),
            ApiError::Failed(message) => {
                tracing::debug!(handler = %self.grant.handler, object = %self.parent.key(), "the API server fails with {child}: {message}");
                ChildProblem::Failed(child, message)
            }
            ApiError::Unavailable(message, retry_after) => ChildProblem::Unavailable {
                child,
                message,
                retry_after,
            },
        }
    }

    /// The kind of a child; None if it is granted but not served.
    fn kind(&self, child: &ChildRef) -> Option<&WatchedKind> {
        let mut kinds = self.kinds.iter();
        kinds.find(|known| known.served.kind == child.kind)
    }
}

impl Effect<'_> {
    fn is_dry_run(&self) -> bool {
        match self {
            Self::Real(_) => false,
            Self::DryRun => true,
        }
    }

    /// How often a child is written at most.
    fn attempts(&self) -> u32 {
        match self {
            Self::Real(_) => ATTEMPTS,
            Self::DryRun => DRY_RUN_ATTEMPTS,
        }
    }
}

/// A child whose kind is not served is refused like one that the API server refuses.
fn unserved(child: &ChildRef) -> ChildProblem {
    ChildProblem::Rejected(child.clone(), missing(&child.kind))
}
