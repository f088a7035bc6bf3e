//! The outcomes that are counted. Each is a label with a few values.

use super::label_value::{LabelValue, label_values};

label_values! {
    /// The result of a reconcile, in the words of controller-runtime.
    pub(crate) enum PassResult {
        Success = "success",
        Error = "error",
        RequeueAfter = "requeue_after",
        /// The host never requeues in this way. Boards of controller-runtime ask for the series.
        Requeue = "requeue",
    }
}

label_values! {
    /// Why a reconcile made no pass.
    pub(crate) enum SkipReason {
        /// Nothing changed since the last pass.
        Unchanged = "unchanged",
        /// The parent had too many passes in a short time. The pass is made later.
        RateLimited = "rate_limited",
    }
}

label_values! {
    /// The outcome of a call of a handler.
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
    /// The outcome of a write.
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
        /// The module runs.
        Loaded = "loaded",
        /// The module ran and was rolled back.
        RolledBack = "rolled_back",
        /// The module was refused and never ran.
        Refused = "refused",
    }
}
