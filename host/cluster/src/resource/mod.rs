//! The resource `Handler`, by which an administrator defines one handler. It is read from a cluster or a file.
//!
//! The types here are its YAML. Its rules are written twice, since a file passes no API server: as the schema and rules
//! of the CRD, and as the conversion into [`Settings`](handler_host_core::Settings), which the rest of the host uses.

// The derive of schemas repeats each public type inside a function.
#![allow(unreachable_pub)]

mod duration;
mod error;
mod image;
mod kind;
mod limits;
mod read;
mod related;
mod rollout;
mod rules;
mod selector;
mod settings;
mod source;
mod spec;
mod status;

pub use error::SettingsError;
pub use kind::KindSpec;
pub use limits::LimitsSpec;
pub use read::{ReadError, read as read_handler};
pub use related::RelatedSpec;
pub use rollout::{PreviewSpec, RolloutSpec};
pub use selector::{LabelSelectorSpec, OperatorSpec, RequirementSpec};
pub use source::{ConfigMapEntry, ModuleSpec, PullSecret};
pub use spec::{
    ChildSpec, Handler, HandlerSpec, ParentDeletion, ParentSpec, ParentStatusPolicy, ParentUnmatch,
    ServiceAccountSpec, UpdateSpec,
};
pub use status::{
    CandidateStatus, HandlerStatus, KindsStatus, ModuleStatus, PreviewCounts, RollbackStatus,
    SwapStatus, TrialStatus,
};
