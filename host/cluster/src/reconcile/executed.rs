use std::borrow::Cow;
use std::sync::Arc;

use handler_host_core::{Applied, AppliedChange, ChildProblem, ChildRef, Done, Kind, Object};

/// What became of the steps.
#[derive(Default)]
pub(crate) struct Executed<'a> {
    /// The children that were written, or that a dry run would have written, in the order of the steps.
    pub(crate) writes: Vec<(ChildRef, ChildWrite<'a>)>,
    /// The first thing that went wrong. Nothing was deleted after it.
    pub(crate) problem: Option<ChildProblem>,
    /// The first child that is being deleted and will be made again.
    pub(crate) awaited: Option<ChildRef>,
    /// The children at whose names foreign objects stand.
    pub(crate) contested: Vec<ChildRef>,
}

/// What one child became.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each child of one parent, until its pass ends"
)]
pub(crate) enum ChildWrite<'a> {
    /// It was created.
    Created(Arc<Object>),
    /// It was applied.
    Applied {
        /// As it was.
        before: Cow<'a, Object>,
        /// As it is.
        after: Arc<Object>,
        /// Whether it was updated or restored.
        done: Done,
    },
    /// It was as desired already, only the news of it had not arrived.
    AsDesired(Arc<Object>),
    /// The object with this uid was deleted.
    Deleted(&'a str),
}

impl Executed<'_> {
    /// What decisions rest on.
    pub(crate) fn into_applied(self) -> Applied {
        let changes = self.writes.into_iter().filter_map(|(child, write)| {
            let done = match write {
                ChildWrite::Created(_) => Done::Created,
                ChildWrite::Applied { done, .. } => done,
                ChildWrite::AsDesired(_) => return None,
                ChildWrite::Deleted(_) => Done::Deleted,
            };
            Some(AppliedChange { child, done })
        });
        Applied {
            changes: changes.collect(),
            problem: self.problem,
            awaited: self.awaited,
        }
    }

    /// The kind and the version of each child that stands.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&Kind, &Object)> {
        self.writes.iter().filter_map(|(child, write)| match write {
            ChildWrite::Created(after)
            | ChildWrite::Applied { after, .. }
            | ChildWrite::AsDesired(after) => Some((&child.kind, &**after)),
            ChildWrite::Deleted(_) => None,
        })
    }
}
