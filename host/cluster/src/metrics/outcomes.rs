//! The outcomes that are counted. Each is a label with a few values.

use super::label_value::{LabelValue, label_values};

label_values! {
    /// What a look at a parent came to, in controller-runtime's words.
    pub(crate) enum PassResult {
        Success = "success",
        Error = "error",
        RequeueAfter = "requeue_after",
        /// The host has no such thing; the name is here for boards that ask for it.
        Requeue = "requeue",
    }
}

label_values! {
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

label_values! {
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

label_values! {
    /// What the API server made of a write.
    pub(crate) enum WriteOutcome {
        Written = "written",
        Conflict = "conflict",
        NotFound = "not_found",
        Rejected = "rejected",
        Unavailable = "unavailable",
    }
}

label_values! {
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
