use std::path::PathBuf;
use std::time::Duration;

use crate::{
    Account, ChildPolicy, Digest, Kind, Limits, ParentSelection, ParentStatus, RelatedPolicy,
};

/// What a `Handler` resource says, read and checked: where its module comes from, what it may do, and how
/// a new module takes over.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The handler's name.
    pub name: String,
    /// The digest of the whole spec but for `paused`: another one means that somebody changed it.
    pub spec: Digest,
    /// Where the module comes from.
    pub module: ModuleSource,
    /// The kind of its parents.
    pub parent: Kind,
    /// What is written into the status of its parents; None for what their kind suggests.
    pub parent_status: Option<ParentStatus>,
    /// The type of the condition that is written there.
    pub condition: String,
    /// Which parents it is called for.
    pub selection: ParentSelection,
    /// The kinds it may return, and what becomes of each when its parent goes.
    pub children: Vec<ChildPolicy>,
    /// The other objects that it may see.
    pub related: Vec<RelatedPolicy>,
    /// The finest time of day that it may be told; None if it may not know the time.
    pub clock: Option<Duration>,
    /// In whose name its parents and children are read and written; None for the host's own account.
    pub account: Option<Account>,
    /// Its config, a JSON object as text.
    pub config: String,
    /// What one call may use.
    pub call_limits: CallLimits,
    /// How much one response may hold.
    pub limits: Limits,
    /// How a new module takes over.
    pub rollout: RolloutPolicy,
    /// The module that somebody approved, by annotation.
    pub approved: Option<Digest>,
    /// Whether its parents are left alone for now.
    pub is_paused: bool,
}

/// Where a module comes from, and which bytes it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSource {
    /// Where it is.
    pub location: ModuleLocation,
    /// The digest that the module's bytes must have; None takes what is there.
    pub pinned: Option<Digest>,
}

/// A place that holds a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleLocation {
    /// A file; also one that is mounted from a ConfigMap or Secret.
    File(PathBuf),
    /// An entry of a ConfigMap's `binaryData`.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The entry.
        key: String,
    },
    /// An OCI image.
    Image(Image),
}

/// An OCI image that holds a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `host/repository:tag`, or `host/repository@sha256:…`, which is never polled.
    pub reference: String,
    /// A Secret of type `kubernetes.io/dockerconfigjson`, as (namespace, name). None: the docker config
    /// file of whoever runs the host, or nobody.
    pub pull_secret: Option<(String, String)>,
    /// Whether to speak HTTP without TLS.
    pub is_plain_http: bool,
    /// How often a tag is looked up.
    pub poll_interval: Duration,
}

/// What one call of a handler may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Bytes of all memories together; 64 MiB by default.
    pub memory: usize,
    /// The time in which a call computes, by the clock and without its waiting; 1 s by default. A call is stopped at the
    /// first tick of 10 ms after it, and never before.
    pub deadline: Duration,
    /// Bytes that the guest may pass to the host at once, so also of a whole response; 4 MiB by default.
    pub response: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            deadline: Duration::from_secs(1),
            response: 4 << 20,
        }
    }
}

/// How a new module takes over from the one that runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RolloutPolicy {
    /// Whether somebody must approve it first.
    pub preview: PreviewPolicy,
    /// The share of parents, 0 to 1, that may fail newly before the host returns to the module before.
    pub max_failure_ratio: f64,
    /// How long after a swap that is watched.
    pub window: Duration,
}

/// Whether a new module waits for somebody's approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreviewPolicy {
    /// It takes over at once.
    #[default]
    Optional,
    /// Its effect is previewed, and it waits until its digest is approved.
    Required,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            preview: PreviewPolicy::Optional,
            max_failure_ratio: 0.5,
            window: Duration::from_secs(60),
        }
    }
}
