use std::borrow::Cow;
use std::sync::Arc;

use handler_host_core::{
    Applied, AppliedChange, ChildProblem, ChildRef, Done, Kind, Object, Step, changed_fields,
};

/// How many fields of a change are named, where a child does not stay as it is applied.
const NAMED_FIELDS: usize = 3;

/// What became of the steps.
#[derive(Default)]
pub(crate) struct Executed<'a> {
    /// The children that were written, or that a dry run would have written, in the order of the steps.
    pub(crate) writes: Vec<(ChildRef, ChildWrite<'a>)>,
    /// The worst thing that went wrong, and the first of these.
    pub(crate) problem: Option<ChildProblem>,
    /// The kinds of children that should have been created, and are missing.
    missing: Vec<Kind>,
    /// Whether the API server could not answer.
    has_outage: bool,
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
    AsDesired,
    /// The object with this uid was deleted.
    Deleted(&'a str),
}

impl Executed<'_> {
    /// Notes that a step failed.
    pub(crate) fn failed(&mut self, step: &Step<'_>, problem: ChildProblem) {
        if let Step::Create(child) = step {
            self.missing.push(child.kind.clone());
        }
        self.has_outage |= matches!(problem, ChildProblem::Unavailable { .. });
        let known = self.problem.as_ref().map(ChildProblem::weight);
        if known.is_none_or(|weight| weight < problem.weight()) {
            self.problem = Some(problem);
        }
    }

    /// Whether the API server could not answer.
    pub(crate) fn has_outage(&self) -> bool {
        self.has_outage
    }

    /// Whether a child must not be deleted in this pass: a child of its kind could not be created, which may be what
    /// replaces it, or the API server cannot answer.
    pub(crate) fn holds_back(&self, child: &ChildRef) -> bool {
        let mut missing = self.missing.iter();
        self.has_outage || missing.any(|kind| kind.is_same_kind(&child.kind))
    }

    /// What decisions rest on. `manager` is the handler's field manager.
    pub(crate) fn into_applied(self, manager: &str) -> Applied {
        let changes = self.writes.into_iter().filter_map(|(child, write)| {
            let mut change = AppliedChange {
                child,
                done: Done::Created,
                fields: Vec::new(),
                changed_by: None,
            };
            match write {
                ChildWrite::Created(_) => {}
                ChildWrite::Applied {
                    before,
                    after,
                    done,
                } => {
                    change.done = done;
                    change.fields = changed_fields(&before, &after, NAMED_FIELDS);
                    if done == Done::Restored {
                        let writer = before.meta.last_writer_but(manager);
                        change.changed_by = writer.map(str::to_owned);
                    }
                }
                ChildWrite::AsDesired => return None,
                ChildWrite::Deleted(_) => change.done = Done::Deleted,
            }
            Some(change)
        });
        Applied {
            changes: changes.collect(),
            problem: self.problem,
            awaited: self.awaited,
        }
    }
}
