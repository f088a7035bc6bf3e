//! What is measured. Metrics have the names of controller-runtime and client-go where those have one, so that
//! their boards and alerts work; what only this host has is called `handler_host_…`.

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
pub(crate) use self::outcomes::{CallOutcome, PassResult, Write, WriteOutcome};

/// The target of the spans that traces are made of. It tells them apart from the log, since no module is called so.
pub const TRACES: &str = "trace";
