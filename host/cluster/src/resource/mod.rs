//! The resource `Handler`: the administrator's word about one handler, read from a cluster or a file.
//!
//! The types here are its YAML. What may stand in it is said twice, since files pass no API server: as
//! the CRD's schema and rules, and as the conversion into [`Settings`](handler_host_core::Settings), which
//! is all that the rest of the host sees.

// The derive of schemas repeats each type inside a function, as public as it is.
#![allow(unreachable_pub)]

mod duration;
mod error;
mod image;
mod kind;
mod limits;
mod read;
mod rollout;
mod rules;
mod settings;
mod source;
mod spec;
mod status;

pub use error::SettingsError;
pub use kind::KindSpec;
pub use limits::LimitsSpec;
pub use read::{ReadError, read as read_handler};
pub use rollout::{PreviewSpec, RolloutSpec};
pub use source::{ConfigMapSource, ModuleSpec, PullSecret};
pub use spec::{ChildSpec, Handler, HandlerSpec, ParentDeletion, ServiceAccountSpec};
pub use status::{
    CandidateStatus, HandlerStatus, KindsStatus, ModuleStatus, PreviewCounts, RollbackStatus,
    SwapStatus,
};
