//! The work on one parent: observe, call the handler, check, plan, apply, report.

mod controller;
mod decide;
mod executor;
mod fingerprint;
mod invocation;
mod parent_states;
mod pass;
mod passes;
mod report;
mod running_module;
mod serving;

pub use self::controller::ServingOptions;
pub(crate) use self::decide::{Undecided, decide};
pub(crate) use self::invocation::{observe, steps};
pub(crate) use self::running_module::RunningModule;
pub use self::running_module::{Active, FailedTrial};
pub use self::serving::{ParentCounts, Serving, ServingNews};
