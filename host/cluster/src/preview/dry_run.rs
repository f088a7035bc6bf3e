use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use handler_host_core::{
    Change, ChildProblem, Grant, Kind, Object, ParentPreview, Reason, Timestamp, Undecided,
    Verdict, plan,
};
use kube::Client;
use tokio::sync::Semaphore;

use super::error::PreviewError;
use crate::metrics::HandlerMetrics;
use crate::reconcile::{
    ChildWrite, DRY_RUN_ATTEMPTS, Decided, Effect, Executor, HandlerAnswers, RunningModule, answer,
    ask, decide, observe,
};
use crate::watching::{RelatedKinds, WatchedKind};

/// A module tried on one parent.
pub(super) struct DryRun<'a> {
    pub(super) client: &'a Client,
    /// All that the handler is granted.
    pub(super) grant: &'a Grant,
    pub(super) running: &'a Arc<RunningModule>,
    pub(super) kinds: &'a [WatchedKind],
    pub(super) related: &'a RelatedKinds,
    /// Permits to call the module.
    pub(super) calls: &'a Semaphore,
    pub(super) answers: &'a HandlerAnswers,
    /// The time of day that it is told.
    pub(super) now: Timestamp,
    /// Whether the changes have the children.
    pub(super) shows_objects: bool,
    pub(super) parent: Arc<Object>,
    /// The uids of all parents.
    pub(super) living: &'a HashSet<String>,
    pub(super) metrics: &'a HandlerMetrics,
}

impl DryRun<'_> {
    pub(super) async fn outcome(&self) -> Result<ParentPreview, PreviewError> {
        let observed = observe(self.kinds, &self.parent, self.grant);
        let decided = {
            // The semaphore is never closed.
            let _permit = self.calls.acquire().await;
            self.decide(&observed).await
        };
        // It is held to the end.
        let decided = match decided {
            Ok(decided) => decided,
            Err(undecided) => {
                return Ok(ParentPreview {
                    changes: Vec::new(),
                    failure: Some(undecided.verdict()),
                });
            }
        };
        // A pass remembers what the API server made of children that it rewrites. A dry run sends them again.
        let accepted = HashMap::new();
        let desired = &decided.decision.desired;
        let steps = plan(desired, &observed, &accepted, &self.parent, self.grant);
        let executor = Executor {
            client: self.client,
            grant: self.grant,
            kinds: self.kinds,
            parent: &self.parent,
            is_living: &|uid| self.living.contains(uid),
            effect: Effect::DryRun,
        };
        let executed = executor.run(&steps).await;
        let writes = executed.writes.into_iter();
        let changes = writes.filter_map(|(child, write)| {
            let change = change(write, &observed)?;
            let shown = if self.shows_objects {
                change
            } else {
                change.without_objects()
            };
            Some((child, shown))
        });
        Ok(ParentPreview {
            changes: changes.collect(),
            failure: match executed.problem {
                Some(problem) => verdict_of(problem, &self.grant.handler)?,
                None => None,
            },
        })
    }
}

impl DryRun<'_> {
    async fn decide(&self, observed: &[(Kind, Arc<Object>)]) -> Result<Decided, Undecided> {
        let queries = ask(self.running, &self.parent, self.metrics).await?;
        let related = answer(self.running, &self.parent, &queries, self.related)?;
        decide(
            self.running,
            &self.parent,
            observed,
            related,
            self.now,
            self.answers,
            self.metrics,
        )
        .await
    }
}

/// The change of a child; None if it would stay as it is.
fn change(write: ChildWrite<'_>, observed: &[(Kind, Arc<Object>)]) -> Option<Change> {
    match write {
        ChildWrite::Created(after) => Some(Change::creation(&after)),
        ChildWrite::Applied { before, after, .. } => Change::update(&before, &after),
        ChildWrite::AsDesired => None,
        ChildWrite::Deleted(uid) => {
            let mut ours = observed.iter().map(|(_, object)| object);
            let before = ours.find(|object| object.meta.uid == uid);
            before.map(|before| Change::deletion(before))
        }
    }
}

/// The verdict on a parent that would fail; None if its namespace is being deleted, so that nothing fails any more.
fn verdict_of(problem: ChildProblem, handler: &str) -> Result<Option<Verdict>, PreviewError> {
    match problem {
        ChildProblem::Foreign(child, foreign) => {
            Ok(Some(Verdict::foreign(&child, &foreign, handler)))
        }
        ChildProblem::Rejected(child, message) => Ok(Some(Verdict::rejected(&child, &message))),
        ChildProblem::NoMemory { child, held, left } => {
            Ok(Some(Verdict::no_memory(&child, held, left)))
        }
        // A pass tries again, since this may pass. A preview says what the API server said.
        ChildProblem::Failed(child, message) => Ok(Some(Verdict::failed(&child, &message))),
        ChildProblem::Terminating(_) => Ok(None),
        ChildProblem::Stale(child) => {
            let why = format!(
                "it changed each of the {DRY_RUN_ATTEMPTS} times it was looked at; preview again"
            );
            let message = format!("{} {}: {why}", child.kind.kind, child.key.name);
            Ok(Some(Verdict::new(Reason::Conflict, message)))
        }
        ChildProblem::Unavailable { child, message, .. } => Err(PreviewError::Unavailable {
            action: format!("trying {} {}", child.kind.kind, child.key),
            message,
        }),
    }
}
