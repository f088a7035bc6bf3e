use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use handler_host_core::{
    Grant, GrantRequest, HANDLER_LABEL, Object, ParentPreview, Preview, Scope, Timestamp,
};
use kube::Client;
use tokio::sync::Semaphore;

use super::dry_run::DryRun;
use super::error::PreviewError;
use super::lists::{list, list_related};
use crate::api::ServedKind;
use crate::metrics::Metrics;
use crate::reconcile::{AnswerMemory, CallableModule, HandlerAnswers, RunningModule};
use crate::watching::{HandlerObjects, Kinds, ObjectMemory, RelatedKinds, WatchedKind, scopes_of};

/// How many parents are tried at a time.
const AT_A_TIME: usize = 16;

/// How many calls of a candidate a preview makes at a time at most. The engine needs as many places for them.
pub const PREVIEW_CALLS: u32 = 16;

/// A module that may be asked to serve a handler's parents.
#[derive(Clone)]
pub struct Candidate {
    /// What the handler asks to be granted.
    pub request: GrantRequest,
    /// The module.
    pub active: CallableModule,
    /// The namespaces whose parents it would serve; empty for all.
    pub namespaces: Vec<String>,
    /// The memory for its answers.
    pub answers: AnswerMemory,
    /// The memory in which the children count meanwhile.
    pub objects: ObjectMemory,
    /// The time of day that it is told, if it may know it.
    pub now: Timestamp,
    /// Whether the preview has the children of its changes; else nulls stand for them.
    pub shows_objects: bool,
}

/// The progress of a preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviewProgress {
    /// Parents that were tried.
    pub done: usize,
    /// Parents in all.
    pub parents: usize,
}

/// Finds out what a candidate would do. It is called for every parent that exists, and every write that follows is
/// sent to the API server as a dry run. Nothing is written.
///
/// # Errors
///
/// When the API server cannot answer or refuses to list. There is no preview of a part, since it would look like a
/// small change.
pub async fn preview(
    client: &Client,
    candidate: &Candidate,
    progress: impl Fn(PreviewProgress),
) -> Result<Preview, PreviewError> {
    let Kinds {
        grant,
        parents,
        children,
        related,
        ..
    } = Kinds::present(client, &candidate.request).await?;
    if parents.scope == Scope::Cluster && !candidate.namespaces.is_empty() {
        return Err(PreviewError::Namespaces(grant.parent.clone()));
    }
    let running = Arc::new(RunningModule::new(candidate.active.clone(), &grant)?);
    let memory = Arc::new(HandlerObjects::new(&candidate.objects));
    let kinds = children.into_iter();
    let kinds: Vec<_> = kinds
        .map(|served| WatchedKind::new(served, &memory))
        .collect();
    // Parents first: a child that is created between the lists is observed then, and not taken for missing.
    let selection = grant.selection.watched_labels().to_string();
    let mut listed = list(client, &parents, &candidate.namespaces, &selection).await?;
    let selected = Selected::of(client, &grant).await?;
    let mut related_kinds = RelatedKinds::default();
    for served in &related {
        for scope in scopes_of(&grant, &served.kind, &candidate.namespaces) {
            let objects = list_related(client, served, &scope).await?;
            related_kinds.add_listed(&served.kind, objects, &memory);
        }
    }
    let labels = format!("{HANDLER_LABEL}={}", grant.handler);
    for kind in &kinds {
        for child in list(client, &kind.served, &candidate.namespaces, &labels).await? {
            kind.cache.insert(Arc::new(child));
        }
    }
    let living = listed.iter().map(|parent| parent.meta.uid.clone());
    let living: HashSet<String> = living.collect();
    listed.retain(|parent| is_called(parent, &running) && selected.has(&grant, parent));
    listed.sort_by_cached_key(Object::key);
    let outcomes = try_all(
        client,
        (&grant, &running, candidate.answers.of_handler()),
        candidate,
        (&kinds, &related_kinds),
        (listed, &living),
        &progress,
    )
    .await?;
    Ok(Preview::of(outcomes, &grant.condition))
}

/// The namespaces, if parents are selected by them.
struct Selected(HashMap<String, Object>);

impl Selected {
    async fn of(client: &Client, grant: &Grant) -> Result<Self, PreviewError> {
        let selection = &grant.selection;
        if !selection.needs_namespaces(&grant.parent, grant.parent_scope) {
            return Ok(Self(HashMap::new()));
        }
        let namespaces = list(client, &ServedKind::namespaces(), &[], "").await?;
        let named = namespaces.into_iter().map(|it| (it.meta.name.clone(), it));
        Ok(Self(named.collect()))
    }

    fn has(&self, grant: &Grant, parent: &Object) -> bool {
        let name = parent.meta.namespace.as_deref().unwrap_or_default();
        let labels = self.0.get(name).map(|namespace| &namespace.meta.labels);
        grant.selection.selects(&grant.parent, parent, labels)
    }
}

/// Whether the host would call the handler for a parent: if the parent is being deleted, only when the handler's
/// finalizer holds it.
fn is_called(parent: &Object, running: &RunningModule) -> bool {
    let finalizers = &parent.meta.finalizers;
    let is_held = running.has_finalizer && finalizers.contains(&running.grant.finalizer());
    !parent.is_deleting() || is_held
}

/// Tries the candidate on each parent, several at a time. Gives the outcomes in the order of the parents.
async fn try_all(
    client: &Client,
    (grant, running, answers): (&Grant, &Arc<RunningModule>, HandlerAnswers),
    candidate: &Candidate,
    (kinds, related): (&[WatchedKind], &RelatedKinds),
    (parents, living): (Vec<Object>, &HashSet<String>),
    progress: &impl Fn(PreviewProgress),
) -> Result<Vec<(Arc<Object>, ParentPreview)>, PreviewError> {
    let count = parents.len();
    // A call only computes: with more calls than cores, each would take longer and miss its deadline.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // The metrics of a host are about what it serves, so these are not registered.
    let metrics = Metrics::default().handler(&grant.handler);
    let calls = Semaphore::new(cores.min(PREVIEW_CALLS as usize));
    let dry_runs = parents.into_iter().map(|parent| {
        let dry_run = DryRun {
            client,
            grant,
            running,
            kinds,
            related,
            calls: &calls,
            answers: &answers,
            shows_objects: candidate.shows_objects,
            now: candidate.now,
            parent: Arc::new(parent),
            living,
            metrics: &metrics,
        };
        async move {
            let outcome = dry_run.outcome().await?;
            Ok::<_, PreviewError>((dry_run.parent, outcome))
        }
    });
    let mut done = 0;
    progress(PreviewProgress {
        done,
        parents: count,
    });
    let outcomes = futures::stream::iter(dry_runs)
        .buffered(AT_A_TIME)
        .inspect_ok(|_| {
            done += 1;
            progress(PreviewProgress {
                done,
                parents: count,
            });
        });
    outcomes.try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The host spawns previews, so their futures must be `Send`.
    #[allow(dead_code, reason = "it only has to compile")]
    fn a_preview_can_run_on_any_thread(client: &Client, candidate: &Candidate) {
        fn sent(_: impl Send) {}
        sent(preview(client, candidate, |_| {}));
    }
}
