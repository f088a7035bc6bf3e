//! The labels of metrics. None grows with the objects of a cluster: parents and children have no names here.

use std::sync::Arc;

use handler_host_core::Failure;
use prometheus_client::encoding::EncodeLabelSet;

use crate::decide::Undecided;
use crate::refusal::Refusal;

/// A label that has a few values, all known.
pub(crate) trait Known: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The label's value.
    fn as_str(self) -> &'static str;
}

macro_rules! known {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$of])* $variant,)+ }

        impl Known for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

known! {
    /// What a look at a parent came to, in controller-runtime's words.
    pub(crate) enum Looked {
        Success = "success",
        Error = "error",
        RequeueAfter = "requeue_after",
        /// The host has no such thing; the name is here for boards that ask for it.
        Requeue = "requeue",
    }
}

known! {
    /// What a call of a handler came to.
    pub(crate) enum CallOutcome {
        Answered = "answered",
        Denied = "denied",
        Permanent = "permanent",
        Temporary = "temporary",
        Trapped = "trapped",
        Deadline = "deadline",
        Memory = "memory",
    }
}

known! {
    /// What is written.
    pub(crate) enum Write {
        Create = "create",
        Apply = "apply",
        Delete = "delete",
        Status = "status",
        Event = "event",
        Finalizer = "finalizer",
    }
}

known! {
    /// What the API server made of a write.
    pub(crate) enum WriteOutcome {
        Written = "written",
        Conflict = "conflict",
        NotFound = "not_found",
        Rejected = "rejected",
        Unavailable = "unavailable",
    }
}

known! {
    /// What became of a module that was to take over.
    pub enum SwapOutcome {
        /// It runs.
        Loaded = "loaded",
        /// It ran and was taken back.
        RolledBack = "rolled_back",
        /// It never ran.
        Refused = "refused",
    }
}

impl CallOutcome {
    pub(crate) fn of(undecided: &Undecided) -> Self {
        use handler_host_core::Fault;
        match undecided {
            Undecided::Denied(_) => Self::Denied,
            Undecided::Failed(Failure::Permanent(_)) => Self::Permanent,
            Undecided::Failed(Failure::Temporary { .. }) => Self::Temporary,
            Undecided::Failed(Failure::Fault(Fault::Trap(_))) => Self::Trapped,
            Undecided::Failed(Failure::Fault(Fault::Deadline(_))) => Self::Deadline,
            Undecided::Failed(Failure::Fault(Fault::Memory(_))) => Self::Memory,
        }
    }
}

impl WriteOutcome {
    pub(crate) fn of<T>(written: &Result<T, Refusal>) -> Self {
        match written {
            Ok(_) => Self::Written,
            Err(Refusal::Conflict) => Self::Conflict,
            Err(Refusal::NotFound(_)) => Self::NotFound,
            Err(Refusal::Rejected(_)) => Self::Rejected,
            Err(Refusal::Unavailable(..)) => Self::Unavailable,
        }
    }
}

macro_rules! labels {
    ($($name:ident { $($label:ident: $type:ty),+ })+) => {
        $(
            #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
            pub(crate) struct $name { $(pub(crate) $label: $type,)+ }
        )+
    };
}

/// A handler's name.
pub(crate) type Name = Arc<str>;

labels! {
    OfController { controller: Name }
    OfReconcile { controller: Name, result: &'static str }
    OfQueue { name: Name, controller: Name }
    OfRequest { code: String, method: String }
    OfLease { name: String }
    OfHandler { handler: Name }
    OfCall { handler: Name, outcome: &'static str }
    OfSwap { handler: Name, outcome: &'static str }
    OfWrite { handler: Name, write: &'static str, outcome: &'static str }
    OfModule { handler: Name, digest: String }
    OfCondition { handler: Name, r#type: &'static str, reason: &'static str }
    OfBuild { version: &'static str }
    OfWatches { state: &'static str }
}
