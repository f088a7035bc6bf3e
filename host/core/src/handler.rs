use std::time::{Duration, SystemTime};

use crate::{Digest, Kind, Query};

/// What a module describes of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The kind it is called for.
    pub parent: Kind,
    /// The kinds it returns.
    pub children: Vec<Kind>,
    /// The kinds of other objects that it wants to see.
    pub related: Vec<Kind>,
    /// Whether parents get a finalizer, so that the handler is called while they are being deleted.
    pub has_finalizer: bool,
    /// To what the time of day that it is told is rounded down; None if it does not want to know it.
    pub clock: Option<Duration>,
}

/// The input of one call of `reconcile`. A handler sees nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The parent's namespace and name, for log lines.
    pub object: &'a str,
    /// The parent as JSON text.
    pub parent: &'a str,
    /// The observed children as JSON text, ordered by kind and key.
    pub children: &'a [&'a str],
    /// The objects that answer its queries as JSON text, for each query in the order of namespace and name.
    pub related: &'a [Vec<&'a str>],
    /// The config as JSON text.
    pub config: &'a str,
    /// The time of day, if the handler may know it.
    pub now: Option<Timestamp>,
    /// The bytes of memory that there are for the answer.
    pub room: usize,
}

/// The input of one call of `related`. A handler sees nothing else.
#[derive(Clone, Copy, Debug)]
pub struct RelatedCall<'a> {
    /// The parent's namespace and name, for log lines.
    pub object: &'a str,
    /// The parent as JSON text.
    pub parent: &'a str,
    /// The config as JSON text.
    pub config: &'a str,
}

/// A time of day, in milliseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl From<SystemTime> for Timestamp {
    /// A time before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

impl Timestamp {
    /// Rounded down to a multiple of so much.
    #[must_use]
    pub fn rounded_down(self, granularity: Duration) -> Self {
        let step = u64::try_from(granularity.as_millis()).unwrap_or(u64::MAX);
        Self(self.0 - self.0.checked_rem(step).unwrap_or_default())
    }

    /// How long it is until then; zero if it is over.
    #[must_use]
    pub fn until(self, then: Self) -> Duration {
        Duration::from_millis(then.0.saturating_sub(self.0))
    }
}

/// What a handler desires for a parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The desired children, each as JSON text.
    pub children: Vec<String>,
    /// The observed children that are to stay as they are. No others than these and the desired ones are to be left.
    pub kept: Vec<KeptChild>,
    /// What it says of the parent's status.
    pub status: StatusAnswer,
    /// Whether the parent is as it should be once the children are applied.
    pub readiness: Readiness,
    /// Events for the parent.
    pub events: Vec<HandlerEvent>,
    /// When to call the handler again although nothing changed.
    pub requeue: Option<RequeueRequest>,
}

impl Response {
    /// Bytes of its texts, but for those that are cut.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let kept = self.kept.iter().map(|it| {
            let namespace = it.namespace.as_ref().map_or(0, String::len);
            it.api_version.len() + it.kind.len() + namespace + it.name.len()
        });
        self.children.iter().map(String::len).sum::<usize>()
            + kept.sum::<usize>()
            + self.status.bytes()
    }
}

/// The name of a child that is to stay as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptChild {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
    /// Its namespace; None for the parent's, and for a cluster-scoped kind.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// What a handler says of its parent's status. Nothing of it is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusAnswer {
    /// A JSON merge patch, as text.
    pub patch: Option<String>,
    /// Conditions, which replace those of their types.
    pub conditions: Vec<ParentCondition>,
}

/// A condition of a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentCondition {
    /// CamelCase.
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl ConditionStatus {
    /// As conditions spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl StatusAnswer {
    /// The bytes of its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let conditions = self.conditions.iter();
        let conditions = conditions.map(|it| it.type_.len() + it.reason.len() + it.message.len());
        self.patch.as_ref().map_or(0, String::len) + conditions.sum::<usize>()
    }
}

/// When a handler is to be called again although nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequeueRequest {
    /// After this time.
    After(Duration),
    /// At this time of day.
    At(Timestamp),
}

/// What the condition `Ready` says once the children are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// True.
    #[default]
    Ready,
    /// False, with the message what the handler waits for.
    Waiting(String),
}

/// An Event that a handler asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerEvent {
    /// The Event's type.
    pub severity: Severity,
    /// CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// The types of Event that Kubernetes has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is wrong.
    Normal,
    /// Something needs attention.
    Warning,
}

/// A call that gave no desired children. The existing children stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The handler says that the input is wrong. Another call would say the same.
    Permanent {
        /// For people.
        message: String,
        /// What it says of the parent's status.
        status: StatusAnswer,
    },
    /// The handler says that it may work later.
    Temporary {
        /// For people.
        message: String,
        /// When to call again; None leaves it to the host's backoff.
        delay: Option<Duration>,
        /// What it says of the parent's status.
        status: StatusAnswer,
    },
    /// The handler was stopped.
    Fault(Fault),
}

impl Failure {
    /// The input is wrong.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent {
            message: message.into(),
            status: StatusAnswer::default(),
        }
    }

    /// It may work later, after the host's backoff.
    #[must_use]
    pub fn temporary(message: impl Into<String>) -> Self {
        Self::Temporary {
            message: message.into(),
            delay: None,
            status: StatusAnswer::default(),
        }
    }

    /// What the handler says of the parent's status.
    #[must_use]
    pub fn status(&self) -> Option<&StatusAnswer> {
        match self {
            Self::Permanent { status, .. } | Self::Temporary { status, .. } => Some(status),
            Self::Fault(_) => None,
        }
    }
}

/// Why a handler was stopped in the middle of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It trapped: a panic, an abort, a stack overflow, a broken rule of WebAssembly.
    #[error("the handler trapped: {0}")]
    Trap(String),
    /// It ran longer than it may.
    #[error("the handler ran longer than its deadline of {} ms; give it a longer deadline, or do less per call", .0.as_millis())]
    Deadline(Duration),
    /// It asked for more memory than it may have.
    #[error("the handler asked for more memory than its limit of {} MiB; give it a higher limit, or use less", .0 >> 20)]
    Memory(usize),
    /// It asked for more memory than the host has.
    #[error("the handler asked for more memory than the {} MiB that this host has for a call; give the host more memory, or use less", .0 >> 20)]
    HostMemory(usize),
    /// It passed more bytes to the host than it may.
    #[error("the handler passed more than its limit of {} KiB to the host at once; return less, or give it a higher limits.responseSize", .0 >> 10)]
    Response(usize),
    /// Its answer takes more memory than the host has for one.
    #[error("the handler's answer takes more than the {} KiB of memory that this host has for it; give the host more memory, or return less", .0 >> 10)]
    Answer(usize),
    /// Its queries for related objects take more memory than they may.
    #[error("the handler's queries for related objects take more than {} KiB; ask fewer, or name fewer labels", .0 >> 10)]
    Queries(usize),
    /// There is no memory to keep its queries for related objects.
    #[error("the handler's queries are not kept: its objects take {} MiB of the host's memory, and {} MiB are left for the objects of all handlers; give the host more memory, or have fewer or smaller objects", .held >> 20, .left >> 20)]
    NoRoom {
        /// The bytes that its objects take.
        held: usize,
        /// The bytes that are left.
        left: usize,
    },
}

/// What a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// The guest ran.
    Ran {
        /// How long it ran, without the time that it waited for a free instance.
        took: Duration,
        /// The most memory that it had, in bytes.
        memory: usize,
    },
    /// The answer was in the memo.
    Remembered,
    /// The call failed before the guest ran.
    Nothing,
}

/// A handler that can be called. The engine implements it; the cluster side calls it.
///
/// Calls block: the caller decides on which thread.
pub trait Invoke: Send + Sync {
    /// The digest of the module's bytes.
    fn digest(&self) -> Digest;

    /// Calls `reconcile` once; gives the answer and what it cost.
    fn invoke_measured(&self, call: &Call<'_>) -> (Result<Response, Failure>, Effort);

    /// Calls `related` once; gives the queries and what the call cost.
    fn related_measured(&self, call: &RelatedCall<'_>) -> (Result<Vec<Query>, Failure>, Effort);

    /// Does work that this handler causes, such as checking a large response, in its share of the processors.
    fn work(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    /// Calls `reconcile` once.
    ///
    /// # Errors
    ///
    /// When the handler fails or was stopped.
    fn invoke(&self, call: &Call<'_>) -> Result<Response, Failure> {
        self.invoke_measured(call).0
    }
}
