use super::children::ChildRef;
use super::ownership::Foreign;
use crate::text::{LONGEST_MESSAGE, truncated};
use crate::{Failure, Fault, HAND_OVER_ANNOTATION, OnParentUnmatch, PAUSED_ANNOTATION, Severity};

/// The result of one pass for its parent: reason and message of the condition `Ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The condition's reason.
    pub reason: Reason,
    /// The condition's message.
    pub message: String,
}

/// The reasons of the condition `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The children are as desired, and the handler calls that ready.
    Reconciled,
    /// The children are as desired, but the handler waits for something.
    Waiting,
    /// Somebody paused the parent.
    Paused,
    /// The Handler does not select the parent any more.
    NotSelected,
    /// An object of a child's name exists and is not the parent's.
    Conflict,
    /// The handler says that the input is wrong.
    PermanentFailure,
    /// The handler says that it may work later.
    TemporaryFailure,
    /// The handler trapped.
    Trapped,
    /// The handler ran longer than its deadline.
    DeadlineExceeded,
    /// The handler asked for more memory than its limit, or its objects take more of the host's than they may.
    MemoryLimitExceeded,
    /// The response was outside the grant.
    Denied,
    /// The API server refused a child.
    Rejected,
    /// The children are written again and again, and never stay as desired.
    Unstable,
}

impl Reason {
    /// All reasons.
    const ALL: [Self; 13] = [
        Self::Reconciled,
        Self::Waiting,
        Self::Paused,
        Self::NotSelected,
        Self::Conflict,
        Self::PermanentFailure,
        Self::TemporaryFailure,
        Self::Trapped,
        Self::DeadlineExceeded,
        Self::MemoryLimitExceeded,
        Self::Denied,
        Self::Rejected,
        Self::Unstable,
    ];

    /// The reason with this spelling.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The reason as conditions and Events spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reconciled => "Reconciled",
            Self::Waiting => "Waiting",
            Self::Paused => "Paused",
            Self::NotSelected => "NotSelected",
            Self::Conflict => "Conflict",
            Self::PermanentFailure => "PermanentFailure",
            Self::TemporaryFailure => "TemporaryFailure",
            Self::Trapped => "Trapped",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::MemoryLimitExceeded => "MemoryLimitExceeded",
            Self::Denied => "Denied",
            Self::Rejected => "Rejected",
            Self::Unstable => "Unstable",
        }
    }

    /// Whether the condition `Ready` is `True`.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self == Self::Reconciled
    }

    /// Whether the parent's children are not as desired because something went wrong.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.severity() == Severity::Warning
    }

    /// Whether something went wrong that another module might do better. A foreign object at a child's name is not the
    /// fault of a module.
    #[must_use]
    pub fn is_modules_failure(self) -> bool {
        self.is_failure() && self != Self::Conflict
    }

    /// The type of the Event that announces the reason.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::Reconciled | Self::Waiting | Self::Paused | Self::NotSelected => Severity::Normal,
            Self::Conflict
            | Self::PermanentFailure
            | Self::TemporaryFailure
            | Self::Trapped
            | Self::DeadlineExceeded
            | Self::MemoryLimitExceeded
            | Self::Denied
            | Self::Rejected
            | Self::Unstable => Severity::Warning,
        }
    }
}

impl Verdict {
    /// A verdict. The message is cut at 4096 bytes, so that a handler cannot fill its parents' statuses. Control
    /// characters become spaces, so that a handler cannot write lines of its own into the host's log.
    #[must_use]
    pub fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let message: String = message.as_ref().chars().map(printable).collect();
        Self {
            reason,
            message: truncated(message, LONGEST_MESSAGE),
        }
    }

    /// The verdict when all children are as desired.
    #[must_use]
    pub fn reconciled(children: usize) -> Self {
        let message = match children {
            0 => "No child is desired.".to_owned(),
            1 => "1 child is as desired.".to_owned(),
            _ => format!("{children} children are as desired."),
        };
        Self::new(Reason::Reconciled, message)
    }

    /// The verdict when somebody paused the parent.
    #[must_use]
    pub fn paused() -> Self {
        let message = format!(
            "the annotation {PAUSED_ANNOTATION} is true: the handler is not called for this object, and its children are left as \
             they are; take the annotation off to go on"
        );
        Self::new(Reason::Paused, message)
    }

    /// The verdict when the Handler does not select the parent any more.
    #[must_use]
    pub fn not_selected(on_unmatch: OnParentUnmatch) -> Self {
        let children = match on_unmatch {
            OnParentUnmatch::Keep => "its children are left as they are",
            OnParentUnmatch::Delete => "its children are deleted",
        };
        let message = format!("the Handler does not select this object: {children}");
        Self::new(Reason::NotSelected, message)
    }

    /// The verdict when a foreign object has a child's name. The message has a remedy that destroys nothing.
    #[must_use]
    pub fn foreign(child: &ChildRef, foreign: &Foreign, handler: &str) -> Self {
        let (kind, name) = (&child.kind, &child.key.name);
        let whose = match foreign {
            Foreign::Controlled { kind, name } => format!("{kind} {name} controls it"),
            Foreign::OfAnother { handler: other } if other == handler => {
                "it is another object's".to_owned()
            }
            Foreign::OfAnother { handler } => format!("it is a child of the handler {handler}"),
            Foreign::Elsewhere | Foreign::Unlabelled => "it is not this object's".to_owned(),
        };
        let remedy = match foreign {
            Foreign::Controlled { .. } | Foreign::Elsewhere => {
                "give this object another name".to_owned()
            }
            Foreign::OfAnother { .. } | Foreign::Unlabelled => {
                let namespace = child.key.namespace.as_deref();
                let namespace = namespace.map_or_else(String::new, |it| format!(" -n {it}"));
                let resource = kind.kubectl_name();
                format!(
                    "give this object another name, or hand that one over to the handler, which keeps its data: \
                     kubectl annotate {resource} {name}{namespace} {HAND_OVER_ANNOTATION}={handler}"
                )
            }
        };
        let message = format!("{} {name} exists, and {whose}; {remedy}", kind.kind);
        Self::new(Reason::Conflict, message)
    }

    /// The verdict when two parents desire a child of the same name, of which another has it.
    #[must_use]
    pub fn taken(child: &ChildRef) -> Self {
        let message = format!("another object gets {child}; give one of both another name");
        Self::new(Reason::Conflict, message)
    }

    /// The verdict when the API server refused a child.
    #[must_use]
    pub fn rejected(child: &ChildRef, why: &str) -> Self {
        let (kind, name) = (&child.kind.kind, &child.key.name);
        let message = format!("the API server refused {kind} {name}: {why}");
        Self::new(Reason::Rejected, message)
    }

    /// The verdict when the host has no memory for a child.
    #[must_use]
    pub fn no_memory(child: &ChildRef, held: usize, left: usize) -> Self {
        let (kind, name) = (&child.kind.kind, &child.key.name);
        let (held, left) = (held >> 20, left >> 20);
        let message = format!(
            "{kind} {name} is not written: this handler's objects take {held} MiB of the host's memory, and {left} MiB are \
             left for the objects of all handlers; give the host more memory, or have fewer or smaller objects"
        );
        Self::new(Reason::MemoryLimitExceeded, message)
    }

    /// The verdict when the API server failed with a child again and again, while it answers other requests.
    #[must_use]
    pub fn failed(child: &ChildRef, why: &str) -> Self {
        let message = format!("the API server fails with {child}: {why}");
        Self::new(Reason::Rejected, message)
    }

    /// The verdict on a call that gave no desired children.
    #[must_use]
    pub fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Permanent { message, .. } => Self::new(Reason::PermanentFailure, message),
            Failure::Temporary { message, .. } => Self::new(Reason::TemporaryFailure, message),
            Failure::Fault(fault) => {
                let reason = match fault {
                    Fault::Trap(_) => Reason::Trapped,
                    Fault::Deadline(_) => Reason::DeadlineExceeded,
                    Fault::Memory(_)
                    | Fault::HostMemory(_)
                    | Fault::Answer(_)
                    | Fault::NoRoom { .. } => Reason::MemoryLimitExceeded,
                    Fault::Response(_) | Fault::Queries(_) => Reason::Denied,
                };
                Self::new(reason, fault.to_string())
            }
        }
    }
}
