use std::time::Duration;

use crate::{Digest, Kind};

/// What a module describes of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The kind it is called for.
    pub parent: Kind,
    /// The kinds it returns.
    pub children: Vec<Kind>,
    /// Whether parents get a finalizer, so that the handler is called while they are being deleted.
    pub has_finalizer: bool,
}

/// The input of one call of a handler. It sees nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The parent's namespace and name, for log lines.
    pub object: &'a str,
    /// The parent as JSON text.
    pub parent: &'a str,
    /// The observed children as JSON text, ordered by kind and key.
    pub children: &'a [&'a str],
    /// The config as JSON text.
    pub config: &'a str,
    /// The bytes of memory that there are for the answer.
    pub room: usize,
}

/// What a handler desires for a parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The complete set of desired children, each as JSON text.
    pub children: Vec<String>,
    /// A JSON merge patch of the parent's status, as text.
    pub status: Option<String>,
    /// Whether the parent is as it should be once the children are applied.
    pub readiness: Readiness,
    /// Events for the parent.
    pub events: Vec<HandlerEvent>,
    /// When to call the handler again although nothing changed.
    pub requeue_after: Option<Duration>,
}

impl Response {
    /// Bytes of its JSON texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let status = self.status.as_ref().map_or(0, String::len);
        self.children.iter().map(String::len).sum::<usize>() + status
    }
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
    Permanent(String),
    /// The handler says that it may work later.
    Temporary {
        /// For people.
        message: String,
        /// When to call again; None leaves it to the host's backoff.
        delay: Option<Duration>,
    },
    /// The handler was stopped.
    Fault(Fault),
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
