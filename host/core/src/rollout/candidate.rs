use std::time::Instant;

use super::event::PreviewSummary;
use super::record::RollbackRecord;
use crate::Refused;

/// What became of the module that the spec asks for.
#[derive(Clone, Debug)]
pub(super) enum CandidateState<M> {
    /// It is not known yet.
    Pending,
    /// It runs.
    Running,
    /// It may not take over.
    Refused {
        refused: Refused,
        /// When it is tried again, where another try may succeed.
        retry_at: Option<Instant>,
    },
    /// It waits for approval.
    Held { module: M, preview: HeldPreview },
    /// It failed its trial under this spec, now or before.
    RolledBack(RollbackRecord),
}

/// What a module that waits for approval would change.
#[derive(Clone, Debug)]
pub(super) enum HeldPreview {
    /// It is being found out.
    UnderWay,
    /// This.
    Done(PreviewSummary),
    /// It could not be found out.
    Failed {
        error: String,
        /// When it is tried again.
        retry_at: Option<Instant>,
    },
}
