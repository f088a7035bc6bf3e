//! The cluster side: watch parents and children, observe, call the handler, apply, report.
//!
//! A [`Serving`] serves one handler until it is told to stop; its module can be swapped meanwhile. Everything it decides is decided by
//! `handler-host-core`; this crate carries objects between the API server and those decisions. It never
//! sees WebAssembly: the handler is a [`core::Invoke`](handler_host_core::Invoke).
//!
//! ```text
//! watch ─▶ cache ─▶ queue ─▶ observe ─▶ invoke ─▶ check ─▶ plan ─▶ apply ─▶ report
//! ```
//!
//! A module uses only those to its left, `handler` all but `preview` and `leader`:
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
    Authorization, HandlerNews, HandlerReporter, Lack, Review, watch_handlers,
};
pub use self::health::{Heartbeat, HeartbeatOf, Liveness, Stalled, WatchCounts};
pub use self::leader::{Election, Fence, Fenced, FencedService, LeaseName};
pub use self::metrics::{HandlerMetrics, Metrics, SwapOutcome, TRACES};
pub use self::preview::{
    Candidate, ChildChange, NewFailure, PREVIEW_CALLS, Preview, PreviewError, PreviewProgress,
    preview,
};
pub use self::reconcile::{
    Active, FailedTrial, ParentCounts, Serving, ServingNews, ServingOptions,
};
pub use self::watching::{ClusterError, Kinds, KindsError, WatchedKinds};
