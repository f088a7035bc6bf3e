//! The work on one parent: observe, call the handler, check, plan, apply, report.

mod answer_memory;
mod clock;
mod conclusion;
mod controller;
mod decide;
mod executed;
mod executor;
mod finalizer;
mod fingerprint;
mod observe;
mod parent_states;
mod pass;
mod related;
mod report;
mod running_module;
mod selection;
mod serving;
mod write_budget;

pub use self::answer_memory::AnswerMemory;
pub(crate) use self::answer_memory::HandlerAnswers;
pub use self::clock::now;
pub use self::controller::{HandlerWarning, ServingOptions};
pub(crate) use self::decide::{Decided, decide};
pub(crate) use self::executed::ChildWrite;
pub(crate) use self::executor::{DRY_RUN_ATTEMPTS, Effect, Executor};
pub(crate) use self::observe::observe;
pub(crate) use self::related::{answer, ask};
pub(crate) use self::running_module::RunningModule;
pub use self::running_module::{CallableModule, FailedTrial};
pub use self::serving::{ParentCounts, Serving, ServingNews};
