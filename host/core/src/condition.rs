use crate::{LONGEST_MESSAGE, one_line, truncated};

/// The conditions of a Handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// Whether the handler serves its parents.
    Ready,
    /// Whether the module that the spec names could be loaded, and runs.
    ModuleLoaded,
    /// Whether the handler's account has all rights that serving takes.
    Authorized,
}

impl ConditionType {
    /// The type as the Handler's status spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::ModuleLoaded => "ModuleLoaded",
            Self::Authorized => "Authorized",
        }
    }
}

/// The reasons of a Handler's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerReason {
    /// `Ready`: the handler serves its parents.
    Serving,
    /// Its parents are served by a module that has to prove itself.
    OnTrial,
    /// `ModuleLoaded`: the module that the spec names runs.
    Loaded,
    /// `Authorized`: the account has all rights that serving takes.
    Authorized,
    /// `Ready`: an administrator paused the handler.
    Paused,
    /// The host has not found out yet.
    Pending,
    /// `Ready`: the API server does not serve a kind that is granted.
    KindNotServed,
    /// `Ready`: no module runs.
    ModuleNotLoaded,
    /// `Ready`: the account lacks rights.
    NotAuthorized,
    /// `Ready`: as the cluster is, the handler can never be served.
    Refused,
    /// The spec breaks a rule that the API server does not check.
    InvalidSpec,
    /// Another handler serves this kind of parent.
    ParentTaken,
    /// `ModuleLoaded`: the source gives no module.
    FetchFailed,
    /// `ModuleLoaded`: the source gives another module than the one that is pinned.
    DigestMismatch,
    /// `ModuleLoaded`: the bytes are not a handler.
    InvalidModule,
    /// `ModuleLoaded`: the module does not say what it is.
    DescribeFailed,
    /// `ModuleLoaded`: the module describes more than the spec grants.
    NotGranted,
    /// `ModuleLoaded`: the host itself failed while it loaded the module.
    HostError,
    /// `ModuleLoaded`: the host finds out what a module would change that waits for approval.
    Previewing,
    /// `ModuleLoaded`: a module waits for approval.
    AwaitingApproval,
    /// `ModuleLoaded`: the module failed its trial and was taken back.
    RolledBack,
    /// `Authorized`: the account lacks rights, or the host may not act as the account.
    Forbidden,
}

/// How a change of a condition is announced beside the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Not at all: another condition, or another log line, says it.
    Nothing,
    /// By a line in the log and a Normal Event.
    Normal,
    /// By a line in the log and a Warning Event.
    Warning,
    /// By a Warning Event. The log says it already.
    WarningEventOnly,
}

impl HandlerReason {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Serving,
        Self::OnTrial,
        Self::Loaded,
        Self::Authorized,
        Self::Paused,
        Self::Pending,
        Self::KindNotServed,
        Self::ModuleNotLoaded,
        Self::NotAuthorized,
        Self::Refused,
        Self::InvalidSpec,
        Self::ParentTaken,
        Self::FetchFailed,
        Self::DigestMismatch,
        Self::InvalidModule,
        Self::DescribeFailed,
        Self::NotGranted,
        Self::HostError,
        Self::Previewing,
        Self::AwaitingApproval,
        Self::RolledBack,
        Self::Forbidden,
    ];

    /// The reason as conditions, Events and metrics spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "Serving",
            Self::OnTrial => "OnTrial",
            Self::Loaded => "Loaded",
            Self::Authorized => "Authorized",
            Self::Paused => "Paused",
            Self::Pending => "Pending",
            Self::KindNotServed => "KindNotServed",
            Self::ModuleNotLoaded => "ModuleNotLoaded",
            Self::NotAuthorized => "NotAuthorized",
            Self::Refused => "Refused",
            Self::InvalidSpec => "InvalidSpec",
            Self::ParentTaken => "ParentTaken",
            Self::FetchFailed => "FetchFailed",
            Self::DigestMismatch => "DigestMismatch",
            Self::InvalidModule => "InvalidModule",
            Self::DescribeFailed => "DescribeFailed",
            Self::NotGranted => "NotGranted",
            Self::HostError => "HostError",
            Self::Previewing => "Previewing",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::RolledBack => "RolledBack",
            Self::Forbidden => "Forbidden",
        }
    }

    /// Whether a condition with this reason is `True`.
    #[must_use]
    pub fn is_true(self) -> bool {
        matches!(
            self,
            Self::Serving | Self::OnTrial | Self::Loaded | Self::Authorized
        )
    }

    /// How a condition that gets this reason is announced.
    #[must_use]
    pub fn announcement(self) -> Announcement {
        match self {
            // What goes well is in the log as what happened.
            Self::Serving | Self::OnTrial | Self::Loaded | Self::Authorized => {
                Announcement::Nothing
            }
            // These are about to change, or another condition says more.
            Self::Pending | Self::Previewing | Self::ModuleNotLoaded | Self::NotAuthorized => {
                Announcement::Nothing
            }
            Self::Paused | Self::AwaitingApproval => Announcement::Normal,
            // The search for the kind has logged what it waits for.
            Self::KindNotServed => Announcement::WarningEventOnly,
            Self::Refused
            | Self::InvalidSpec
            | Self::ParentTaken
            | Self::FetchFailed
            | Self::DigestMismatch
            | Self::InvalidModule
            | Self::DescribeFailed
            | Self::NotGranted
            | Self::HostError
            | Self::RolledBack
            | Self::Forbidden => Announcement::Warning,
        }
    }
}

/// One condition of a Handler. When it last changed is added where the status is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerCondition {
    /// Its type.
    pub type_: ConditionType,
    /// Its reason, which decides whether it is `True`.
    pub reason: HandlerReason,
    /// Its message.
    pub message: String,
}

impl HandlerCondition {
    /// A condition.
    #[must_use]
    pub fn new(type_: ConditionType, reason: HandlerReason, message: impl Into<String>) -> Self {
        Self {
            type_,
            reason,
            message: message.into(),
        }
    }

    /// Whether the condition is `True`.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.reason.is_true()
    }
}

/// Why a module or a spec is not taken: the reason and message of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The condition's reason.
    pub reason: HandlerReason,
    /// The condition's message: one line of at most 4096 bytes.
    pub message: String,
    /// Whether another try of the same may succeed, since a busy or failing host was the cause.
    pub is_temporary: bool,
}

impl Refused {
    /// A refusal that stands until the module or the spec changes.
    #[must_use]
    pub fn new(reason: HandlerReason, message: &str) -> Self {
        Self {
            reason,
            message: truncated(one_line(message), LONGEST_MESSAGE),
            is_temporary: false,
        }
    }

    /// The same, for a cause that may be gone at the next try.
    #[must_use]
    pub fn temporary(self) -> Self {
        Self {
            is_temporary: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_spelt_once_and_as_its_variant() {
        for (index, reason) in HandlerReason::ALL.iter().enumerate() {
            assert_eq!(reason.as_str(), format!("{reason:?}"));
            assert!(!HandlerReason::ALL[..index].contains(reason));
        }
    }

    #[test]
    fn a_refusal_has_one_line_of_bounded_length() {
        let refused = Refused::new(
            HandlerReason::InvalidModule,
            &format!("a\n{}", "ä".repeat(4096)),
        );
        assert!(refused.message.starts_with(r"a\nä") && refused.message.ends_with('…'));
        assert!(refused.message.len() <= LONGEST_MESSAGE);
    }
}
