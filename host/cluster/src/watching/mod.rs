//! The objects of a handler in the cluster: its kinds, their watches and caches, and the queue of parents to
//! reconcile.

mod backoff;
mod cache;
mod contested_names;
mod error;
mod fill;
mod kind_watch;
mod kinds;
mod kinds_follower;
mod object_index;
mod object_memory;
mod related_kinds;
mod related_watches;
mod watched_kind;
mod watched_kinds;
mod work_queue;

pub(crate) use self::cache::Cache;
pub(crate) use self::contested_names::ContestedNames;
pub use self::error::ClusterError;
pub(crate) use self::fill::FillProgress;
pub(crate) use self::kinds::rules_of;
pub use self::kinds::{Kinds, KindsError};
pub(crate) use self::kinds_follower::KindsFollower;
pub use self::object_memory::ObjectMemory;
pub(crate) use self::object_memory::{HandlerObjects, NoRoom};
pub(crate) use self::related_kinds::{NoAnswer, RelatedKinds};
pub use self::related_watches::RelatedWatches;
pub(crate) use self::watched_kind::WatchedKind;
pub use self::watched_kinds::{WatchPlace, WatchedKinds};
pub(crate) use self::watched_kinds::{missing_in_words, scopes_of};
pub(crate) use self::work_queue::WorkQueue;
