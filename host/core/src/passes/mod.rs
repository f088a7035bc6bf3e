//! One pass over a parent: whether it is due, what the handler's response means within its grant, which steps
//! follow, and what the parent is told.

mod applied;
mod check;
mod children;
mod decision;
mod dropped;
mod due;
mod finalizer;
mod outcome;
mod ownership;
mod plan;
mod preview;
mod related;
mod settling;
mod status;
mod verdict;

pub use self::applied::{Applied, AppliedChange, ChildProblem, Done};
pub use self::check::{Denied, DenyReason};
pub use self::children::{Checked, Child, ChildRef, Children, Desired};
pub use self::decision::{Decision, StatusPatch, Undecided};
pub use self::dropped::{FieldPath, dropped_fields};
pub use self::due::PassDue;
pub use self::finalizer::{FinalizerFacts, FinalizerStep, may_go};
pub use self::outcome::{FinalizerWrite, PassOutcome, PassReport, Requeue};
pub use self::ownership::{Adoption, Claimant, Foreign, Ownership};
pub use self::plan::{Step, accepted_mark, plan};
pub use self::preview::{ChildChange, NewFailure, ParentPreview, Preview};
pub use self::related::{answers_among, check_queries, check_related};
pub use self::settling::{Settling, Unstable};
pub use self::status::{
    ConditionChange, HandlerIdentity, StatusInput, has_condition, reported_failure, status_patch,
};
pub use self::verdict::{Reason, Verdict};
