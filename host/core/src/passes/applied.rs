use std::fmt;
use std::time::Duration;

use super::children::ChildRef;
use super::ownership::Foreign;

/// What carrying out the steps of a plan came to.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The children that were written, in the order of the steps.
    pub changes: Vec<AppliedChange>,
    /// The worst thing that went wrong, and the first of these.
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
    /// Some fields of which it was changed, as paths. Empty if it was created or deleted.
    pub fields: Vec<String>,
    /// The field manager that had changed it, if it was restored and that is known.
    pub changed_by: Option<String>,
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
    /// It is the parent's now, and was not before.
    Adopted,
    /// It was deleted.
    Deleted,
}

/// Why a child is not as desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildProblem {
    /// A foreign object has its name.
    Foreign(ChildRef, Foreign),
    /// The API server refused it, with this message.
    Rejected(ChildRef, String),
    /// The host has no memory for an object more.
    NoMemory {
        /// The child that was to be written.
        child: ChildRef,
        /// The bytes that the objects of its handler take.
        held: usize,
        /// The bytes that are left for the objects of all handlers.
        left: usize,
    },
    /// The API server failed with this child, with this message. Other requests may work, and this one may later.
    Failed(ChildRef, String),
    /// The namespace is being deleted, in which the child was to be created.
    Terminating(ChildRef),
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

impl ChildProblem {
    /// How much a problem says, to tell the parent the worst of several: what the parent's user can mend goes before
    /// what passes by itself.
    #[must_use]
    pub fn weight(&self) -> u8 {
        match self {
            Self::Rejected(..) => 6,
            Self::NoMemory { .. } => 5,
            Self::Foreign(..) => 4,
            Self::Failed(..) => 3,
            Self::Terminating(_) => 2,
            Self::Unavailable { .. } => 1,
            Self::Stale(_) => 0,
        }
    }
}

impl fmt::Display for AppliedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.done {
            Done::Created => "Created",
            Done::Updated => "Updated",
            Done::Restored => "Restored",
            Done::Adopted => "Adopted",
            Done::Deleted => "Deleted",
        };
        write!(f, "{done} {}", self.child)
    }
}
