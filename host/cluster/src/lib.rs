//! The cluster side: watch parents and children, observe, call the handler, apply, report.
//!
//! [`run`] serves one handler until it is told to stop. Everything it decides is decided by
//! `handler-host-core`; this crate carries objects between the API server and those decisions. It never
//! sees WebAssembly: the handler is a [`core::Invoke`](handler_host_core::Invoke).
//!
//! ```text
//! watch ─▶ cache ─▶ queue ─▶ observe ─▶ invoke ─▶ check ─▶ plan ─▶ apply ─▶ report
//! ```

mod apply;
mod cache;
mod conflicts;
mod controller;
mod discovery;
mod fingerprint;
mod invocation;
mod ledger;
mod pass;
mod preview;
mod received;
mod reconcile;
mod refusal;
mod report;
mod resource;
mod request;
mod survey;
mod trial;
mod trouble;
mod watch;
mod work;

pub use controller::{Activation, run};
pub use preview::{Candidate, ChildChange, NewFailure, PREVIEW_CALLS, Preview, Progress, preview};
pub use refusal::{connection_problem, innermost_cause};
pub use resource::{
    APPROVE_ANNOTATION, CandidateStatus, ChildSpec, ConfigMapSource, Handler, HandlerSpec,
    HandlerStatus, KindSpec, KindsStatus, LimitsSpec, ModuleSpec, ModuleStatus, ParentDeletion,
    Preview, PreviewCounts, PullSecret, ReadError, RollbackStatus, RolloutSpec, SettingsError,
    SwapStatus, read_handler,
};
pub use survey::PreviewError;

/// Why a handler is not served at all.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The description cannot be granted.
    #[error(transparent)]
    Grant(#[from] handler_host_core::GrantError),
    /// A part of the host ended by itself. Whoever restarts the host loses nothing.
    #[error(
        "a part of the host ended ({0}); this is a defect of the host: restart it, and report the log"
    )]
    Ended(String),
    /// Namespaces were named for parents that live in none.
    #[error(
        "{parent} is cluster-scoped, so --namespace does not apply to it; leave --namespace out"
    )]
    Namespaces {
        /// The parent's kind.
        parent: handler_host_core::Kind,
    },
}
