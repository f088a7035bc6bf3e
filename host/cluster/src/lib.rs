//! The cluster side: watch parents and children, observe, call the handler, apply, report.
//!
//! A [`Serving`] serves one handler until it is stopped. Its module can be swapped meanwhile. `handler-host-core` makes
//! the decisions, and this crate carries objects between the API server and those decisions. It knows nothing of
//! WebAssembly: a handler is a [`core::Invoke`](handler_host_core::Invoke).
//!
//! ```text
//! watch ─▶ cache ─▶ queue ─▶ observe ─▶ call ─▶ check ─▶ plan ─▶ apply ─▶ report
//! ```
//!
//! Each module uses only those that its arrows lead to. `handler` uses `api` and `resource`:
//!
//! ```text
//! health ◀─ metrics ◀─ api ◀─ watching ◀─ reconcile ◀─ preview
//!                       ▲
//!                       └─ leader
//! ```

mod api;
mod handler;
mod health;
mod leader;
mod metrics;
mod preview;
mod reconcile;
pub mod resource;
mod watching;

pub use self::api::{
    ApiClients, MeasuredService, NotServed, RequestLayer, connection_problem, innermost_cause,
};
pub use self::handler::{
    Authorization, HandlerNews, HandlerReporter, Lack, PARENTS_FINALIZER, Review, hold_handler,
    release_parents, watch_handlers,
};
pub use self::health::{Heartbeat, HeartbeatOf, Liveness, Stalled, WatchCounts};
pub use self::leader::{Election, Fence, Fenced, FencedService, LeaseName};
pub use self::metrics::{HandlerMetrics, Metrics, SwapOutcome, TRACES};
pub use self::preview::{Candidate, PREVIEW_CALLS, PreviewError, PreviewProgress, preview};
pub use self::reconcile::{
    AnswerMemory, CallableModule, FailedTrial, HandlerWarning, ParentCounts, Serving, ServingNews,
    ServingOptions, now,
};
pub use self::watching::{
    ClusterError, Kinds, KindsError, ObjectMemory, RelatedWatches, WatchPlace, WatchedKinds,
};
