//! The decisions of handler-host: kinds, objects, grants, children, plans, conditions, retries. This crate performs no
//! I/O, awaits nothing, and knows neither Kubernetes clients nor WebAssembly, so every rule in it is tested as a table.
//!
//! The stages of a pass, in types:
//!
//! ```text
//! Call ──Invoke──▶ Response ──check──▶ Decision ──plan──▶ [Step] ──▶ Applied ──▶ PassOutcome ──▶ status patch
//! ```

mod condition;
mod grants;
mod handler;
mod lease;
mod module;
mod objects;
mod passes;
mod proxies;
mod queue;
mod related;
mod rollout;
mod settings;
mod text;
mod trial;

pub use condition::{Announcement, ConditionType, HandlerCondition, HandlerReason, Refused};
pub use grants::{
    Account, AccountError, ChildGrant, ChildPolicy, ChildUpdate, Claim, Claims, Grant, GrantError,
    GrantRequest, Limits, OnParentDelete, OnParentUnmatch, ParentSelection, ParentStatus, READY,
    RelatedGrant, RelatedPlaces, RelatedPolicy, RelatedScope, Resource, Right, Rule, Scope, Taken,
    Verb, finalizer_of, is_handler_name, parents_warning, rights, rights_in_words, rules,
};
pub use handler::{
    Call, ConditionStatus, Description, Effort, Failure, Fault, HandlerEvent, Invoke, KeptChild,
    ParentCondition, Readiness, RelatedCall, RequeueRequest, Response, Severity, StatusAnswer,
    Timestamp,
};
pub use lease::{Bid, Candidacy, Lease};
pub use module::{FetchedModule, KeptModules, RolledBack};
pub use objects::{
    Change, Digest, DigestError, FieldTypes, FieldTypesError, Key, Kind, KindError, LabelSelector,
    Meta, OBJECT_MEMORY, Object, ObjectError, Operator, Owner, Pairs, Requirement, Schemas,
    SelectorError, Writer, canonical, changed_fields, has_desired_fields, projection,
    version_number, whole,
};
pub use passes::{
    Adoption, Applied, AppliedChange, Checked, Child, ChildChange, ChildProblem, ChildRef,
    Children, Claimant, ConditionChange, Decision, Denied, DenyReason, Desired, Done, FieldPath,
    FinalizerFacts, FinalizerStep, FinalizerWrite, Foreign, HandlerIdentity, NewFailure, Ownership,
    ParentPreview, PassDue, PassOutcome, PassReport, Preview, Reason, Requeue, Settling,
    StatusInput, StatusPatch, Step, Undecided, Unstable, Verdict, accepted_mark, answers_among,
    check_queries, check_related, dropped_fields, has_condition, may_go, plan, reported_failure,
    status_patch,
};
pub use proxies::Proxies;
pub use queue::{Backoff, ByteBudget, Next, Queue, Task, TokenBucket};
pub use related::{GrantedQuery, Place, Query, QueryIndex, Selection};
pub use rollout::{
    Action, Facts, HeldModule, LoadPurpose, ModuleRecord, Now, PreviewSummary, Recalled,
    RollbackRecord, Rollout, RolloutEvent, RolloutModule, RolloutNote, RolloutRecord,
    RolloutStatus, ServingState, SwapRecord, TrialTerms,
};
pub use settings::{
    CallLimits, Image, ModuleLocation, ModuleSource, PreviewPolicy, RolloutPolicy, Settings,
};
pub use text::{LONGEST_MESSAGE, one_line, truncated};
pub use trial::{Probation, Trial, TrialFailure, TrialProgress, TrialSoFar, TrialStep};

/// The name of the host: the value of `app.kubernetes.io/managed-by` and the prefix of every field manager.
pub const HOST: &str = "handler-host";
/// The label of every child, by which children are watched. Its value is the handler's name.
pub const HANDLER_LABEL: &str = "handler-host.dev/handler";
/// The label with the uid of a child's parent, also where the child has no owner reference.
pub const PARENT_UID_LABEL: &str = "handler-host.dev/parent-uid";
/// The annotation with the digest of the desired state that was applied last.
pub const APPLIED_ANNOTATION: &str = "handler-host.dev/applied";
/// The annotation by which the owner of an object hands it over to the handler that its value names.
pub const HAND_OVER_ANNOTATION: &str = "handler-host.dev/hand-over-to";
/// The annotation of a parent that is left alone while its value is `true`.
pub const PAUSED_ANNOTATION: &str = "handler-host.dev/paused";
/// The annotation of a child that was made without an owner reference, while its parent was deleted in the foreground.
pub const UNOWNED_ANNOTATION: &str = "handler-host.dev/unowned";
/// The annotation of a Handler whose value is the digest of the module that an administrator approved.
pub const APPROVE_ANNOTATION: &str = "handler-host.dev/approve";
/// The recommended label of <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
