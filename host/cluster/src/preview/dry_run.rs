use std::collections::HashMap;
use std::sync::Arc;

use handler_host_core::{
    Change, Child, ChildRef, Grant, Kind, Object, Reason, Step, Verdict, accepted_mark,
};
use kube::Client;
use tokio::sync::Semaphore;

use super::error::PreviewError;
use crate::api::{ApiError, Effect, Expected, Requests, ServedKind, answered_in_turn};
use crate::metrics::HandlerMetrics;
use crate::reconcile::{RunningModule, Undecided, decide, observe, steps};
use crate::watching::WatchedKind;

/// How often a child is looked at that changes while it is looked at.
const LOOKS: u32 = 3;

/// A module tried on one parent.
pub(crate) struct DryRun<'a> {
    pub(crate) client: &'a Client,
    /// All that the handler is granted.
    pub(crate) grant: &'a Grant,
    pub(crate) running: &'a RunningModule,
    pub(crate) kinds: &'a [WatchedKind],
    /// Turns to call it.
    pub(crate) calls: &'a Semaphore,
    pub(crate) parent: Arc<Object>,
    pub(crate) metrics: &'a HandlerMetrics,
}

/// What the dry run came to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// What would become of children, in the order of the steps.
    pub(crate) changes: Vec<(ChildRef, Change)>,
    /// The first thing that would go wrong; nothing would be deleted after it.
    pub(crate) failure: Option<Verdict>,
}

/// Why there would be no change, and should be.
enum Obstacle {
    /// The parent would fail.
    Failure(Verdict),
    /// Nobody can say.
    Unknown(PreviewError),
}

impl DryRun<'_> {
    pub(crate) async fn outcome(&self) -> Result<Outcome, PreviewError> {
        let observed = observe(self.kinds, &self.parent, &self.grant.handler);
        let decided = {
            // Nobody closes it.
            let _turn = self.calls.acquire().await;
            decide(self.running, &self.parent, &observed, self.metrics).await
        };
        let desired = match decided {
            Ok(decision) => decision.desired,
            Err(Undecided::Failed(failure)) => {
                return Ok(Outcome::failed(Verdict::of_failure(&failure)));
            }
            Err(Undecided::Denied(denied)) => {
                let verdict = Verdict::new(Reason::Denied, denied.to_string());
                return Ok(Outcome::failed(verdict));
            }
        };
        // What the running host accepted of the API server's rewriting, this one finds out by dry runs.
        let accepted = HashMap::new();
        let steps = steps(&desired, &observed, &accepted, &self.parent, self.grant);
        let mut outcome = Outcome::default();
        for step in &steps {
            let tried = match step {
                Step::Create(child) => self.apply(child, None).await,
                Step::Update { child, observed } => self.apply(child, Some(observed)).await,
                Step::AwaitDeletion(_) => Ok(None),
                // As in a real pass: what is to replace it may be missing.
                Step::Delete { .. } if outcome.failure.is_some() => Ok(None),
                Step::Delete { child, uid } => self.delete(child, uid, &observed).await,
            };
            match tried {
                Ok(change) => outcome.changes.extend(change),
                Err(Obstacle::Failure(verdict)) => {
                    outcome.failure.get_or_insert(verdict);
                }
                Err(Obstacle::Unknown(error)) => return Err(error),
            }
        }
        Ok(outcome)
    }

    /// Applies a child as it would be applied over what was observed of it, looking again if that is not
    /// what is there.
    async fn apply(
        &self,
        child: &Child,
        observed: Option<&Object>,
    ) -> Result<Option<(ChildRef, Change)>, Obstacle> {
        let name = child.name();
        let served = self.served(&child.kind)?;
        let mut before = observed.cloned();
        for _ in 0..LOOKS {
            let expected = match &before {
                None => Expected::Nothing,
                Some(before) => Expected::Object(&before.meta.uid),
            };
            let requests = self.requests();
            match answered_in_turn(|| requests.apply(served, child, expected)).await {
                Ok(answer) => {
                    let Some(after) = answer.into_object(&child.kind) else {
                        return Ok(None);
                    };
                    let change = match &before {
                        None => Some(Change::creation(&after)),
                        Some(before) => Change::update(before, &after),
                    };
                    return Ok(change.map(|change| (name, change)));
                }
                Err(ApiError::Conflict) => {}
                Err(refusal) => return Err(obstacle(&name, refusal)),
            }
            before = self.found(served, &name).await?;
            let Some(found) = &before else { continue };
            if !found.is_child_of(&self.parent, &self.grant.handler) {
                return Err(Obstacle::Failure(Verdict::foreign(&name)));
            }
            if found.is_deleting() || accepted_mark(child, found).is_none() {
                return Ok(None);
            }
        }
        let why = format!("it changed each of the {LOOKS} times it was looked at; preview again");
        let message = format!("{} {}: {why}", child.kind.kind, child.key.name);
        Err(Obstacle::Failure(Verdict::new(Reason::Conflict, message)))
    }

    /// The object at a child's name, if there is one.
    async fn found(
        &self,
        served: &ServedKind,
        name: &ChildRef,
    ) -> Result<Option<Object>, Obstacle> {
        let api = served.api(self.client, name.key.namespace.as_deref());
        match answered_in_turn(|| api.get(&name.key.name)).await {
            Ok(found) => Ok(found.into_object(&name.kind)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(refusal) => Err(obstacle(name, refusal)),
        }
    }

    async fn delete(
        &self,
        child: &ChildRef,
        uid: &str,
        observed: &[(Kind, Arc<Object>)],
    ) -> Result<Option<(ChildRef, Change)>, Obstacle> {
        let served = self.served(&child.kind)?;
        let requests = self.requests();
        match answered_in_turn(|| requests.delete(served, child, uid)).await {
            Ok(()) => {
                let mut ours = observed.iter().map(|(_, object)| object);
                let before = ours.find(|object| object.meta.uid == uid);
                Ok(before.map(|before| (child.clone(), Change::deletion(before))))
            }
            // Gone already, or another object by now.
            Err(ApiError::NotFound(_) | ApiError::Conflict) => Ok(None),
            Err(refusal @ (ApiError::Rejected(_) | ApiError::Unavailable(..))) => {
                Err(obstacle(child, refusal))
            }
        }
    }

    fn requests(&self) -> Requests<'_> {
        Requests {
            client: self.client,
            grant: self.grant,
            effect: Effect::DryRun,
        }
    }

    /// The checked kinds are the granted ones, and those were found.
    fn served(&self, kind: &Kind) -> Result<&ServedKind, Obstacle> {
        let mut kinds = self.kinds.iter().map(|known| &known.served);
        let found = kinds.find(|served| served.kind == *kind);
        found.ok_or_else(|| Obstacle::Unknown(PreviewError::NotServed(kind.clone())))
    }
}

impl Outcome {
    fn failed(verdict: Verdict) -> Self {
        Self {
            changes: Vec::new(),
            failure: Some(verdict),
        }
    }
}

fn obstacle(child: &ChildRef, refusal: ApiError) -> Obstacle {
    match refusal {
        ApiError::NotFound(message) | ApiError::Rejected(message) => {
            Obstacle::Failure(Verdict::rejected(child, &message))
        }
        ApiError::Conflict | ApiError::Unavailable(..) => {
            let action = format!("trying {} {}", child.kind.kind, child.key);
            Obstacle::Unknown(PreviewError::of(&refusal, action))
        }
    }
}
