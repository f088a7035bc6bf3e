use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use crate::Kind;

/// What should be true of the parent.
///
/// ```
/// use std::time::Duration;
/// use handler_sdk::{Event, Response};
/// use serde_json::json;
///
/// let child = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
/// Response::ready([child])
///     .waiting("The ConfigMap is not bound yet.")
///     .status(json!({"children": 1}))
///     .event(Event::normal("Resized", "Grew to 2Gi."))
///     .requeue_after(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Response {
    pub(crate) children: Vec<String>,
    /// Observed children that stay as they are.
    pub kept: Vec<ChildName>,
    pub(crate) status: Option<String>,
    /// Conditions of the parent. Each replaces the one of its type.
    pub conditions: Vec<Condition>,
    /// Whether the parent is as it should be once the children are applied.
    pub readiness: Readiness,
    /// Events to publish on the parent when this call changes something.
    pub events: Vec<Event>,
    /// When the host calls again though nothing changed.
    pub requeue: Option<Requeue>,
}

/// The name of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildName {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace. It is None for a cluster-scoped child, and may be None in the parent's namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ChildName {
    /// The name of a child, which is JSON.
    #[must_use]
    pub fn of(child: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &child["metadata"];
        Self {
            kind: Kind::new(text(&child["apiVersion"]), text(&child["kind"])),
            namespace: metadata["namespace"].as_str().map(str::to_owned),
            name: text(&metadata["name"]),
        }
    }
}

/// When the host calls again though nothing changed: in a second at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// After this delay.
    After(Duration),
    /// At this time of day.
    At(SystemTime),
}

/// The parent's condition `Ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// `True` once the children are applied.
    Ready,
    /// `False`, reason `Waiting`, with this message.
    Waiting(String),
}

impl Response {
    /// Desires these children and no others. The parent is ready once they are applied. A child is anything
    /// that serialises to a Kubernetes object: `json!({…})`, a struct, a type of `k8s-openapi`.
    ///
    /// # Panics
    ///
    /// When a child does not serialise, such as a map whose keys are not text.
    pub fn ready(children: impl IntoIterator<Item = impl Serialize>) -> Self {
        Self {
            children: children
                .into_iter()
                .map(|child| to_text("child", &child))
                .collect(),
            ..Self::no_children()
        }
    }

    /// Desires no children. Those that exist are deleted.
    pub fn no_children() -> Self {
        Self {
            children: Vec::new(),
            kept: Vec::new(),
            status: None,
            conditions: Vec::new(),
            readiness: Readiness::Ready,
            events: Vec::new(),
            requeue: None,
        }
    }

    /// Adds a child that is JSON text already. The host checks it like any other.
    pub fn child_text(mut self, child: impl Into<String>) -> Self {
        self.children.push(child.into());
        self
    }

    /// Keeps an observed child as it is, whatever differs. It is one of the request's children, as JSON.
    pub fn keep(mut self, child: &Value) -> Self {
        self.kept.push(ChildName::of(child));
        self
    }

    /// Says that the parent is not as it should be yet, and why.
    pub fn waiting(mut self, message: impl Into<String>) -> Self {
        self.readiness = Readiness::Waiting(message.into());
        self
    }

    /// Says that the parent is as it should be once the children are applied, or why not yet: what
    /// [`readiness`](crate::readiness) and [`readiness_of_all`](crate::readiness_of_all) give.
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// Sets a merge patch (RFC 7386) of the parent's `status`. It is an object; null removes a field.
    /// Without a patch the status stays as it is.
    ///
    /// # Panics
    ///
    /// When it does not serialise, such as a map whose keys are not text.
    pub fn status(mut self, patch: impl Serialize) -> Self {
        self.status = Some(to_text("status", &patch));
        self
    }

    /// Adds a condition of the parent. It replaces the one of its type; those of other types stay as they are.
    pub fn condition(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Publishes an Event on the parent if this call changes something.
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Asks for a call after this delay, though nothing changed. Less than a second counts as one second.
    pub fn requeue_after(mut self, delay: Duration) -> Self {
        self.requeue = Some(Requeue::After(delay));
        self
    }

    /// Asks for a call at this time of day, though nothing changed. If it is over, the call comes in a second.
    pub fn requeue_at(mut self, time: SystemTime) -> Self {
        self.requeue = Some(Requeue::At(time));
        self
    }

    /// Returns the children as JSON, for tests.
    ///
    /// # Panics
    ///
    /// When [`child_text`](Self::child_text) was given something that is not JSON.
    #[must_use]
    pub fn children(&self) -> Vec<Value> {
        self.children
            .iter()
            .map(|text| from_text("child", text))
            .collect()
    }

    /// Returns the status patch as JSON, for tests.
    #[must_use]
    pub fn status_patch(&self) -> Option<Value> {
        self.status.as_deref().map(|text| from_text("status", text))
    }
}

fn to_text(what: &str, value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|error| panic!("a {what} cannot be written as JSON: {error}"))
}

fn from_text(what: &str, text: &str) -> Value {
    serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("a {what} is not JSON: {error}: {text}"))
}

/// A Kubernetes Event on the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The type of the Event.
    pub severity: Severity,
    /// CamelCase, at most 128 characters: `Resized`.
    pub reason: String,
    /// A text for people, of at most 1024 bytes. A longer one is cut.
    pub message: String,
}

/// The two types of Event that Kubernetes has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is wrong.
    Normal,
    /// People should look at it.
    Warning,
}

impl Event {
    /// An Event that reports nothing wrong.
    pub fn normal(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Normal,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// An Event that people should look at.
    pub fn warning(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// A condition of the parent. The host sets its times and the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// In CamelCase: `Synced`. `Ready` is the host's.
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// In CamelCase: `AllThere`.
    pub reason: String,
    /// A text for people.
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

impl Condition {
    /// A condition that holds or does not.
    pub fn new(
        type_: impl Into<String>,
        holds: bool,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_: type_.into(),
            status: if holds {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            },
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// A condition of which nobody knows whether it holds.
    pub fn unknown(
        type_: impl Into<String>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status: ConditionStatus::Unknown,
            ..Self::new(type_, false, reason, message)
        }
    }
}

/// No desired children can be given. The children that exist stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong. It is shown to the user as it is.
    pub message: String,
    /// When the host calls again.
    pub retry: Retry,
    pub(crate) status: Option<String>,
    /// Conditions of the parent.
    pub conditions: Vec<Condition>,
}

/// When the host calls again after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// When something changes: the input itself is wrong.
    Never,
    /// After 1 s, doubled at each failure in a row, up to 5 min.
    Backoff,
    /// After this delay.
    After(Duration),
}

impl Failure {
    /// A failure because the input itself is wrong. Name the value, the rule and the remedy, because
    /// users read this in the parent's condition.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry: Retry::Never,
            status: None,
            conditions: Vec::new(),
        }
    }

    /// A failure that may pass. The next call follows the host's backoff, or comes
    /// [`after`](Self::after) a delay.
    pub fn temporary(message: impl Into<String>) -> Self {
        Self {
            retry: Retry::Backoff,
            ..Self::permanent(message)
        }
    }

    /// Sets the delay until the next call. A permanent failure stays permanent.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.retry = match self.retry {
            Retry::Never => Retry::Never,
            Retry::Backoff | Retry::After(_) => Retry::After(delay),
        };
        self
    }

    /// Sets a merge patch of the parent's `status`, so that it does not go on to say what is no longer true. Without a patch the
    /// status stays as it is, but for the condition `Ready`.
    ///
    /// # Panics
    ///
    /// When it does not serialise, such as a map whose keys are not text.
    #[must_use]
    pub fn status(mut self, patch: impl Serialize) -> Self {
        self.status = Some(to_text("status", &patch));
        self
    }

    /// Adds a condition of the parent. It replaces the one of its type.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Returns the status patch as JSON, for tests.
    #[must_use]
    pub fn status_patch(&self) -> Option<Value> {
        self.status.as_deref().map(|text| from_text("status", text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_response_holds_what_the_chain_gave_it() {
        let response = Response::ready([json!({"kind": "A"})])
            .child_text(r#"{"kind":"B"}"#)
            .waiting("not yet")
            .status(json!({"size": 1}))
            .event(Event::warning("Odd", "look"))
            .requeue_after(Duration::from_secs(5));
        assert_eq!(
            response.children(),
            [json!({"kind": "A"}), json!({"kind": "B"})]
        );
        assert_eq!(response.readiness, Readiness::Waiting("not yet".into()));
        assert_eq!(response.status_patch(), Some(json!({"size": 1})));
        assert_eq!(response.events, [Event::warning("Odd", "look")]);
        let delay = Duration::from_secs(5);
        assert_eq!(response.requeue, Some(Requeue::After(delay)));
    }

    #[test]
    fn only_a_temporary_failure_takes_a_delay() {
        let delay = Duration::from_secs(1);
        let failure = Failure::temporary("later").after(delay);
        assert_eq!(failure.retry, Retry::After(delay));
        let failure = Failure::permanent("never").after(delay);
        assert_eq!(failure.retry, Retry::Never);
    }

    #[test]
    fn a_failure_may_say_what_the_status_is_to_say() {
        let condition = Condition::new("Synced", false, "NoSource", "The source is gone.");
        let failure = Failure::permanent("no")
            .status(json!({"phase": null}))
            .condition(condition.clone());
        assert_eq!(failure.status_patch(), Some(json!({"phase": null})));
        assert_eq!(failure.conditions, [condition]);
    }
}
