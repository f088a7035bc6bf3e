//! The trial of a new module: how many parents fail newly, and what they are told meanwhile.

mod judgement;
mod probation;

pub use self::judgement::{Trial, TrialFailure, TrialProgress};
pub use self::probation::{Probation, TrialSoFar, TrialStep};
