use std::fmt;
use std::time::Duration;

use super::children::ChildRef;

/// What carrying out the steps of a plan came to.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The children that were written, in the order of the steps.
    pub changes: Vec<AppliedChange>,
    /// The first thing that went wrong. Nothing was deleted after it.
    pub problem: Option<ChildProblem>,
    /// The first child that is being deleted and will be made again.
    pub awaited: Option<ChildRef>,
}

/// One child that was written. Its text is the message of an Event: `Created ConfigMap a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedChange {
    /// The child.
    pub child: ChildRef,
    /// What was done to it.
    pub done: Done,
}

/// What was done to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was created.
    Created,
    /// Another desired state was applied to it.
    Updated,
    /// The same desired state was applied again, since somebody had changed the child.
    Restored,
    /// It was deleted.
    Deleted,
}

/// Why a child is not as desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildProblem {
    /// A foreign object has its name.
    Foreign(ChildRef),
    /// The API server refused it, with this message.
    Rejected(ChildRef, String),
    /// The API server cannot answer.
    Unavailable {
        /// The child that was to be written.
        child: ChildRef,
        /// The problem, for people.
        message: String,
        /// How long the API server asks to wait; None if it does not say.
        retry_after: Option<Duration>,
    },
    /// The child is not what the plan was made for. Another pass makes another plan.
    Stale(ChildRef),
}

impl fmt::Display for AppliedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.done {
            Done::Created => "Created",
            Done::Updated => "Updated",
            Done::Restored => "Restored",
            Done::Deleted => "Deleted",
        };
        write!(f, "{done} {} {}", self.child.kind.kind, self.child.key.name)
    }
}
