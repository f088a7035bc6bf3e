use std::num::NonZero;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use handler_host_core::{Grant, GrantRequest, HANDLER_LABEL, Object, Scope};
use kube::Client;
use tokio::sync::Semaphore;

use super::dry_run::{DryRun, Outcome};
use super::error::PreviewError;
use super::lists::list;
use super::result::Preview;
use crate::metrics::Metrics;
use crate::reconcile::{Active, RunningModule};
use crate::watching::{Kinds, WatchedKind};

/// Parents looked at at a time.
const PARENTS: usize = 16;

/// The most calls of a candidate that a preview makes at a time: so much room its engine needs for it.
pub const PREVIEW_CALLS: u32 = 16;

/// A module that may come to serve a handler's parents.
#[derive(Clone)]
pub struct Candidate {
    /// What the handler is granted.
    pub request: GrantRequest,
    /// The module.
    pub active: Active,
    /// The namespaces whose parents it would serve; empty for all.
    pub namespaces: Vec<String>,
}

/// How far a preview is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviewProgress {
    /// Parents looked at.
    pub done: usize,
    /// Parents in all.
    pub parents: usize,
}

/// Finds out what a candidate would do: calls it for every parent there is, and has the API server go
/// through every write that it would lead to as a dry run. Nothing is written.
///
/// # Errors
///
/// When the API server cannot answer or refuses to list; then there is no preview at all, since half a
/// preview would look like a small change.
pub async fn preview(
    client: &Client,
    candidate: &Candidate,
    progress: impl Fn(PreviewProgress),
) -> Result<Preview, PreviewError> {
    let Kinds {
        grant,
        parents,
        children,
    } = Kinds::now(client, &candidate.request).await?;
    if parents.scope == Scope::Cluster && !candidate.namespaces.is_empty() {
        return Err(PreviewError::Namespaces(grant.parent.clone()));
    }
    let running = RunningModule::new(candidate.active.clone(), &grant)?;
    let kinds: Vec<_> = children.into_iter().map(WatchedKind::new).collect();
    // Parents first: a child that comes between the lists is then observed, not taken for missing.
    let mut listed = list(client, &parents, &candidate.namespaces, "").await?;
    let labels = format!("{HANDLER_LABEL}={}", grant.handler);
    for kind in &kinds {
        for child in list(client, &kind.served, &candidate.namespaces, &labels).await? {
            kind.cache.insert(child);
        }
    }
    listed.retain(|parent| is_called(parent, &running));
    listed.sort_by_cached_key(Object::key);
    let outcomes = tried(client, (&grant, &running), &kinds, listed, &progress).await?;
    Ok(Preview::of(outcomes))
}

/// Whether the host calls the handler for a parent: one that goes is its business only if it holds it.
fn is_called(parent: &Object, running: &RunningModule) -> bool {
    let finalizers = &parent.meta.finalizers;
    let is_held = running.has_finalizer && finalizers.contains(&running.grant.finalizer());
    !parent.is_deleting() || is_held
}

/// Tries the candidate on each parent, several at a time; gives the outcomes in the parents' order.
async fn tried(
    client: &Client,
    (grant, running): (&Grant, &RunningModule),
    kinds: &[WatchedKind],
    parents: Vec<Object>,
    progress: &impl Fn(PreviewProgress),
) -> Result<Vec<(Arc<Object>, Outcome)>, PreviewError> {
    let count = parents.len();
    // A call does nothing but compute: more of them than cores would only eat each other's deadlines.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Of no interest to those who watch a host that serves.
    let metrics = Metrics::default().handler(&grant.handler);
    let calls = Semaphore::new(cores.min(PREVIEW_CALLS as usize));
    let dry_runs = parents.into_iter().map(|parent| {
        let dry_run = DryRun {
            client,
            grant,
            running,
            kinds,
            calls: &calls,
            parent: Arc::new(parent),
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
        .buffered(PARENTS)
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

    /// The host spawns previews.
    #[allow(dead_code, reason = "it only has to compile")]
    fn a_preview_can_run_on_any_thread(client: &Client, candidate: &Candidate) {
        fn sent(_: impl Send) {}
        sent(preview(client, candidate, |_| {}));
    }
}
