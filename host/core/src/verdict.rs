use crate::{ChildRef, Failure, Fault, Severity};

/// What became of one pass over a parent: the condition `Ready` in the making.
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
    /// An object of a child's name exists and is not the parent's.
    Conflict,
    /// The handler says that the input is wrong.
    PermanentFailure,
    /// The handler says that it may work later.
    TemporaryFailure,
    /// The handler trapped.
    Trapped,
    /// The handler ran longer than it may.
    DeadlineExceeded,
    /// The handler asked for more memory than it may have.
    MemoryLimitExceeded,
    /// The response was outside the grant.
    Denied,
    /// The API server refused a child.
    Rejected,
}

impl Reason {
    /// All of them.
    const ALL: [Self; 10] = [
        Self::Reconciled,
        Self::Waiting,
        Self::Conflict,
        Self::PermanentFailure,
        Self::TemporaryFailure,
        Self::Trapped,
        Self::DeadlineExceeded,
        Self::MemoryLimitExceeded,
        Self::Denied,
        Self::Rejected,
    ];

    /// The reason that is spelt so.
    pub(crate) fn spelt(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The reason as conditions and Events spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reconciled => "Reconciled",
            Self::Waiting => "Waiting",
            Self::Conflict => "Conflict",
            Self::PermanentFailure => "PermanentFailure",
            Self::TemporaryFailure => "TemporaryFailure",
            Self::Trapped => "Trapped",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::MemoryLimitExceeded => "MemoryLimitExceeded",
            Self::Denied => "Denied",
            Self::Rejected => "Rejected",
        }
    }

    /// Whether the condition `Ready` is `True`.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self == Self::Reconciled
    }

    /// Whether a parent is not as its handler wants it, and will not be without somebody's doing or luck.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.severity() == Severity::Warning
    }

    /// Whether something went wrong that another module may do better. A foreign object at a child's name is
    /// nobody's failure.
    #[must_use]
    pub fn is_modules_failure(self) -> bool {
        self.is_failure() && self != Self::Conflict
    }

    /// How loud the news is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::Reconciled | Self::Waiting => Severity::Normal,
            Self::Conflict
            | Self::PermanentFailure
            | Self::TemporaryFailure
            | Self::Trapped
            | Self::DeadlineExceeded
            | Self::MemoryLimitExceeded
            | Self::Denied
            | Self::Rejected => Severity::Warning,
        }
    }
}

impl Verdict {
    /// A verdict. The message is cut at 4096 bytes, so that no handler fills its parents' status, and
    /// control characters become spaces, so that none writes lines of its own into the host's log.
    #[must_use]
    pub fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let mut message: String = message.as_ref().chars().map(printable).collect();
        if message.len() > 4096 {
            message.truncate(message.floor_char_boundary(4093));
            message.push('…');
        }
        Self { reason, message }
    }

    /// All children are as desired.
    #[must_use]
    pub fn reconciled(children: usize) -> Self {
        let message = match children {
            0 => "No child is desired.".to_owned(),
            1 => "1 child is as desired.".to_owned(),
            _ => format!("{children} children are as desired."),
        };
        Self::new(Reason::Reconciled, message)
    }

    /// A foreign object has a child's name.
    #[must_use]
    pub fn foreign(child: &ChildRef) -> Self {
        let (kind, name) = (&child.kind.kind, &child.key.name);
        let message = format!(
            "{kind} {name} exists and is not this object's; delete or rename it, or rename this object"
        );
        Self::new(Reason::Conflict, message)
    }

    /// The API server refused a child.
    #[must_use]
    pub fn rejected(child: &ChildRef, why: &str) -> Self {
        let (kind, name) = (&child.kind.kind, &child.key.name);
        let message = format!("the API server refused {kind} {name}: {why}");
        Self::new(Reason::Rejected, message)
    }

    /// A call that gave no desired children.
    #[must_use]
    pub fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Permanent(message) => Self::new(Reason::PermanentFailure, message),
            Failure::Temporary { message, .. } => Self::new(Reason::TemporaryFailure, message),
            Failure::Fault(fault) => {
                let reason = match fault {
                    Fault::Trap(_) => Reason::Trapped,
                    Fault::Deadline(_) => Reason::DeadlineExceeded,
                    Fault::Memory(_) => Reason::MemoryLimitExceeded,
                };
                Self::new(reason, fault.to_string())
            }
        }
    }
}
