use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use handler_host_core::{
    Change, ChildRef, Grant, HANDLER_LABEL, Key, Object, Scope, Verdict, failure_told,
};
use kube::Client;
use tokio::sync::Semaphore;

use crate::active::{Active, Running};
use crate::apply::ChildKind;
use crate::dry_run::{DryRun, Outcome};
use crate::kinds::{Kinds, Wanted};
use crate::meters::Meters;
use crate::report::status_of;
use crate::survey::{PreviewError, list};

/// Parents looked at at a time.
const PARENTS: usize = 16;

/// The most calls of a candidate that a preview makes at a time: so much room its engine needs for it.
pub const PREVIEW_CALLS: u32 = 16;

/// A module that may come to serve a handler's parents.
#[derive(Clone)]
pub struct Candidate {
    /// What the handler is granted.
    pub wanted: Wanted,
    /// The module.
    pub active: Active,
    /// The namespaces whose parents it would serve; empty for all.
    pub namespaces: Vec<String>,
}

/// What a candidate would do, had it its way.
#[derive(Clone, Debug)]
pub struct Preview {
    /// How many parents it was called for.
    pub parents: usize,
    /// What would become of children, by parent, kind and name.
    pub changes: Vec<ChildChange>,
    /// Parents that would fail and do not yet.
    pub failures: Vec<NewFailure>,
    /// How many would fail and say already that they do.
    pub already_failing: usize,
}

/// What would become of one child.
#[derive(Clone, Debug)]
pub struct ChildChange {
    /// Its parent.
    pub parent: Key,
    /// The child.
    pub child: ChildRef,
    /// What would become of it.
    pub change: Change,
}

/// A parent that would fail and does not yet.
#[derive(Clone, Debug)]
pub struct NewFailure {
    /// The parent.
    pub parent: Key,
    /// What its condition would say.
    pub verdict: Verdict,
}

/// How far a preview is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
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
    progress: impl Fn(Progress),
) -> Result<Preview, PreviewError> {
    let Kinds {
        grant,
        parents,
        children,
    } = Kinds::now(client, &candidate.wanted).await?;
    if parents.scope == Scope::Cluster && !candidate.namespaces.is_empty() {
        return Err(PreviewError::Namespaces(grant.parent.clone()));
    }
    let running = Running::new(candidate.active.clone(), &grant)?;
    let kinds: Vec<_> = children.into_iter().map(ChildKind::new).collect();
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
    Ok(told(outcomes))
}

/// Whether the host calls the handler for a parent: one that goes is its business only if it holds it.
fn is_called(parent: &Object, running: &Running) -> bool {
    let finalizers = &parent.meta.finalizers;
    let is_held = running.has_finalizer && finalizers.contains(&running.grant.finalizer());
    !parent.is_deleting() || is_held
}

/// Tries the candidate on each parent, several at a time; gives the outcomes in the parents' order.
async fn tried(
    client: &Client,
    (grant, running): (&Grant, &Running),
    kinds: &[ChildKind],
    parents: Vec<Object>,
    progress: &impl Fn(Progress),
) -> Result<Vec<(Arc<Object>, Outcome)>, PreviewError> {
    let count = parents.len();
    // A call does nothing but compute: more of them than cores would only eat each other's deadlines.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Of no interest to those who watch a host that serves.
    let meters = Meters::default().handler(&grant.handler);
    let calls = Semaphore::new(cores.min(PREVIEW_CALLS as usize));
    let dry_runs = parents.into_iter().map(|parent| {
        let dry_run = DryRun {
            client,
            grant,
            running,
            kinds,
            calls: &calls,
            parent: Arc::new(parent),
            meters: &meters,
        };
        async move {
            let outcome = dry_run.outcome().await?;
            Ok::<_, PreviewError>((dry_run.parent, outcome))
        }
    });
    let mut done = 0;
    progress(Progress {
        done,
        parents: count,
    });
    let outcomes = futures::stream::iter(dry_runs)
        .buffered(PARENTS)
        .inspect_ok(|_| {
            done += 1;
            progress(Progress {
                done,
                parents: count,
            });
        });
    outcomes.try_collect().await
}

/// What all outcomes come to. They are in the parents' order.
fn told(outcomes: Vec<(Arc<Object>, Outcome)>) -> Preview {
    let mut preview = Preview {
        parents: outcomes.len(),
        changes: Vec::new(),
        failures: Vec::new(),
        already_failing: 0,
    };
    let mut made = BTreeSet::new();
    for (parent, outcome) in outcomes {
        let Outcome {
            mut changes,
            mut failure,
        } = outcome;
        // A dry run leaves nothing behind: of two parents that would make the same child each could.
        changes.retain(|(child, change)| {
            let is_free = match change {
                Change::Create { .. } => made.insert(child.clone()),
                Change::Update { .. } | Change::Delete { .. } => true,
            };
            if !is_free {
                failure.get_or_insert_with(|| Verdict::foreign(child));
            }
            is_free
        });
        changes.sort_by(|(one, _), (other, _)| one.cmp(other));
        let key = parent.key();
        let named = changes.into_iter().map(|(child, change)| ChildChange {
            parent: key.clone(),
            child,
            change,
        });
        preview.changes.extend(named);
        match (failure, failure_told(&status_of(&parent))) {
            (None, _) => {}
            (Some(verdict), None) => preview.failures.push(NewFailure {
                parent: key,
                verdict,
            }),
            (Some(_), Some(_)) => preview.already_failing += 1,
        }
    }
    preview
}

#[cfg(test)]
mod tests {
    use handler_host_core::{Kind, Reason};
    use serde_json::json;

    use super::*;

    fn parent(name: &str, reason: &str) -> Arc<Object> {
        let kind = Kind::new("v1", "Pod").unwrap();
        let object = json!({
            "metadata": {"name": name, "namespace": "ns"},
            "status": {"conditions": [{"type": "Ready", "reason": reason}]},
        });
        Arc::new(Object::parse(&kind, &object.to_string()).unwrap())
    }

    fn child(name: &str) -> (ChildRef, Object) {
        let kind = Kind::new("v1", "ConfigMap").unwrap();
        let object = json!({"metadata": {"name": name, "namespace": "ns"}}).to_string();
        let object = Object::parse(&kind, &object).unwrap();
        let key = object.key();
        (ChildRef { kind, key }, object)
    }

    fn making(names: &[&str]) -> Outcome {
        let made = names.iter().map(|name| {
            let (child, object) = child(name);
            (child, Change::creation(&object))
        });
        Outcome {
            changes: made.collect(),
            failure: None,
        }
    }

    fn failing(reason: Reason) -> Outcome {
        Outcome {
            changes: Vec::new(),
            failure: Some(Verdict::new(reason, "m")),
        }
    }

    #[test]
    fn a_failure_is_new_unless_the_parent_tells_one_already() {
        let preview = told(vec![
            (parent("a", "Reconciled"), failing(Reason::Trapped)),
            (parent("b", "Denied"), failing(Reason::Trapped)),
            (parent("c", "Waiting"), failing(Reason::PermanentFailure)),
            (parent("d", "Denied"), making(&[])),
        ]);
        let new: Vec<_> = preview
            .failures
            .iter()
            .map(|failure| format!("{} {}", failure.parent, failure.verdict.reason.as_str()))
            .collect();
        assert_eq!(new, ["ns/a Trapped", "ns/c PermanentFailure"]);
        assert_eq!((preview.parents, preview.already_failing), (4, 1));
    }

    #[test]
    fn changes_are_told_by_parent_kind_and_name() {
        let preview = told(vec![
            (parent("a", "Reconciled"), making(&["c", "b"])),
            (parent("b", "Reconciled"), making(&["a"])),
        ]);
        let names: Vec<_> = preview
            .changes
            .iter()
            .map(|change| format!("{} {}", change.parent, change.child.key))
            .collect();
        assert_eq!(names, ["ns/a ns/b", "ns/a ns/c", "ns/b ns/a"]);
    }

    #[test]
    fn of_two_parents_that_would_make_the_same_child_the_second_would_fail() {
        let preview = told(vec![
            (parent("a", "Reconciled"), making(&["shared"])),
            (parent("b", "Reconciled"), making(&["own", "shared"])),
        ]);
        assert_eq!(preview.changes.len(), 2);
        let [failure] = preview.failures.as_slice() else {
            panic!("{:?}", preview.failures);
        };
        assert_eq!(failure.parent.to_string(), "ns/b");
        assert_eq!(failure.verdict.reason, Reason::Conflict);
    }

    /// The host spawns previews.
    #[allow(dead_code, reason = "it only has to compile")]
    fn a_preview_can_run_on_any_thread(client: &Client, candidate: &Candidate) {
        fn sent(_: impl Send) {}
        sent(preview(client, candidate, |_| {}));
    }
}
