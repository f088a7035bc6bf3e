//! What handler-host decides, and nothing it does: kinds, objects, grants, children, plans, conditions,
//! retries. This crate performs no I/O, awaits nothing and knows neither Kubernetes clients nor
//! WebAssembly, so every rule in it is tested as a table.
//!
//! The order of a pass, in types:
//!
//! ```text
//! Call ──Invoke──▶ Response ──check──▶ Children<Checked> ──plan──▶ [Step] ──▶ Verdict ──▶ status patch
//! ```

mod change;
mod check;
mod children;
mod claims;
mod compare;
mod condition;
mod digest;
mod grant;
mod grant_request;
mod handler;
mod kind;
mod lease;
mod module;
mod object;
mod plan;
mod quantity;
mod queue;
mod retry;
mod revisits;
mod rights;
mod rollout;
mod settings;
mod status;
mod text;
mod token_bucket;
mod trial;
mod verdict;

pub use change::Change;
pub use check::{Denied, DenyReason, check, check_status};
pub use children::{Checked, Child, Children, Desired};
pub use claims::{Claims, Taken};
pub use compare::{projection, stands};
pub use condition::{Announcement, ConditionType, HandlerCondition, HandlerReason, Refused};
pub use digest::{Digest, DigestError};
pub use grant::{ChildGrant, Grant, GrantError, Limits, OnParentDelete, Scope, is_handler_name};
pub use grant_request::GrantRequest;
pub use handler::{
    Call, Description, Effort, Failure, Fault, HandlerEvent, Invoke, Readiness, Response, Severity,
};
pub use kind::{Kind, KindError};
pub use lease::{Bid, Candidacy, Lease};
pub use module::{FetchedModule, KeptModules, RolledBack};
pub use object::{Key, Meta, Object, ObjectError, Owner, Pairs, version_number};
pub use plan::{ChildRef, Step, accepted_mark, plan};
pub use quantity::{canonical, whole};
pub use queue::{Next, Queue, Task};
pub use retry::Backoff;
pub use rights::{
    Account, AccountError, Resource, Right, Rule, Verb, rights, rights_in_words, rules,
};
pub use rollout::{
    Action, Facts, HeldModule, ModuleRecord, Now, PreviewSummary, Purpose, Recalled,
    RollbackRecord, Rollout, RolloutEvent, RolloutModule, RolloutNote, RolloutRecord,
    RolloutStatus, ServingState, SwapRecord, TrialSoFar, TrialTerms,
};
pub use settings::{
    CallLimits, Image, ModuleLocation, ModuleSource, PreviewPolicy, RolloutPolicy, Settings,
};
pub use status::{ConditionChange, HandlerIdentity, StatusInput, failure_told, status_patch};
pub use text::{one_line, truncated};
pub use token_bucket::TokenBucket;
pub use trial::{Trial, TrialFailure};
pub use verdict::{Reason, Verdict};

/// Who writes: the value of `app.kubernetes.io/managed-by` and the prefix of every field manager.
pub const HOST: &str = "handler-host";
/// The label every child carries; its value is the handler's name. Children are watched by it.
pub const HANDLER_LABEL: &str = "handler-host.dev/handler";
/// The label that ties a child to its parent's uid, also when no owner reference does.
pub const PARENT_UID_LABEL: &str = "handler-host.dev/parent-uid";
/// The annotation that holds the digest of the desired state last applied.
pub const APPLIED_ANNOTATION: &str = "handler-host.dev/applied";
/// The annotation of a Handler whose value is the digest of the module that an administrator approved.
pub const APPROVE_ANNOTATION: &str = "handler-host.dev/approve";
/// The recommended label of <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
