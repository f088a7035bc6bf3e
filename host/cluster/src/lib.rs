//! The cluster side: watch parents and children, observe, call the handler, apply, report.
//!
//! A [`Serving`] serves one handler until it is told to stop; its module can be swapped meanwhile. Everything it decides is decided by
//! `handler-host-core`; this crate carries objects between the API server and those decisions. It never
//! sees WebAssembly: the handler is a [`core::Invoke`](handler_host_core::Invoke).
//!
//! ```text
//! watch ─▶ cache ─▶ queue ─▶ observe ─▶ invoke ─▶ check ─▶ plan ─▶ apply ─▶ report
//! ```

mod active;
mod actors;
mod apply;
mod authorization;
mod cache;
mod conflicts;
mod controller;
mod decide;
mod discovery;
mod dry_run;
mod election;
mod fence;
mod fingerprint;
mod handler_report;
mod handlers;
mod invocation;
mod kinds;
mod ledger;
mod meters;
mod observed;
mod pass;
mod preview;
mod received;
mod reconcile;
mod refusal;
mod report;
mod request;
pub mod resource;
mod serving;
mod survey;
mod traffic;
mod trouble;
mod vitals;
mod watch;
mod work;

pub use active::{Active, FailedTrial};
pub use actors::Actors;
pub use authorization::{Authorization, Lack, Review};
pub use controller::Options;
pub use election::{Election, LeaseName};
pub use fence::{Fence, Fenced, FencedService};
pub use handler_report::{HandlerReporter, Say, now};
pub use handlers::{HandlerNews, watch_handlers};
pub use kinds::{Kinds, NotServed, Wanted};
pub use meters::{HandlerMeters, Meters, SwapOutcome};
pub use observed::Observed;
pub use preview::{Candidate, ChildChange, NewFailure, PREVIEW_CALLS, Preview, Progress, preview};
pub use refusal::{connection_problem, innermost_cause};
pub use serving::{Counts, Serving, ServingNews};
pub use survey::PreviewError;
pub use traffic::Traffic;
pub use vitals::{Pulse, PulseOf, Vitals, Watches, Wedged};

use handler_host_core::GrantError;

/// The target of the spans that traces are made of, by which they are told from the log: no module is called so.
pub const TRACES: &str = "trace";

/// Why a handler is not served at all.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The description cannot be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
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
