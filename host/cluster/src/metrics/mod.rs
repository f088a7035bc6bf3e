//! The metrics of the host. They have the names of controller-runtime and client-go where those have one, so that
//! their boards and alerts work. Metrics that only this host has begin with `handler_host_`.

mod families;
mod handler;
mod holders;
mod host;
mod label_value;
mod labels;
mod outcomes;
mod series;

pub use self::handler::HandlerMetrics;
pub use self::host::Metrics;
pub(crate) use self::label_value::LabelValue;
pub use self::outcomes::SwapOutcome;
pub(crate) use self::outcomes::{CallOutcome, PassResult, SkipReason, Write, WriteOutcome};

/// The target of the spans that traces are made of. No module has this name, so it tells spans from log lines.
pub const TRACES: &str = "trace";
