use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A kind of Kubernetes object, as objects of that kind name it themselves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// `v1` for the core group, else `group/version`, such as `kopf.dev/v1`.
    pub api_version: String,
    /// In CamelCase: `PersistentVolumeClaim`.
    pub kind: String,
}

impl Kind {
    /// `Kind::new("v1", "ConfigMap")`.
    pub fn new(api_version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            api_version: api_version.into(),
            kind: kind.into(),
        }
    }

    /// Whether an object is of this kind.
    #[must_use]
    pub fn is_of(&self, object: &Value) -> bool {
        object["apiVersion"] == self.api_version.as_str() && object["kind"] == self.kind.as_str()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version, self.kind)
    }
}

/// What a handler declares about itself: its registration.
///
/// ```
/// use handler_sdk::{Description, Kind};
///
/// Description::new(Kind::new("kopf.dev/v1", "EphemeralVolumeClaim"))
///     .child(Kind::new("v1", "PersistentVolumeClaim"))
///     .finalizer();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Description {
    /// The kind whose objects are passed to [`reconcile`](crate::Handler::reconcile).
    pub parent: Kind,
    /// Every kind that may be returned as a child.
    pub children: Vec<Kind>,
    /// Every kind that [`related`](crate::Handler::related) may ask for.
    pub related: Vec<Kind>,
    /// Whether the handler must be called for a parent that is being deleted, before it is removed.
    pub finalizer: bool,
    /// To what the time of day that the handler gets is rounded down; None if it gets none.
    pub clock: Option<Duration>,
}

impl Description {
    /// A handler for parents of this kind, with no children yet, no finalizer and no clock.
    pub fn new(parent: Kind) -> Self {
        Self {
            parent,
            children: Vec::new(),
            related: Vec::new(),
            finalizer: false,
            clock: None,
        }
    }

    /// Adds a kind that the handler may return as a child.
    pub fn child(mut self, kind: Kind) -> Self {
        self.children.push(kind);
        self
    }

    /// Adds a kind that [`related`](crate::Handler::related) may ask for.
    pub fn related(mut self, kind: Kind) -> Self {
        self.related.push(kind);
        self
    }

    /// Asks for the time of day, rounded down to this granularity, which is a second at least. The coarser it is, the more
    /// calls have the same input, which the host answers from memory.
    pub fn clock(mut self, granularity: Duration) -> Self {
        self.clock = Some(granularity);
        self
    }

    /// Asks for a finalizer. The handler is then also called with a parent that
    /// [is being deleted](crate::Metadata::is_being_deleted), and the parent is removed when a response
    /// desires no child and no child is left.
    pub fn finalizer(mut self) -> Self {
        self.finalizer = true;
        self
    }
}

/// The config of a handler that takes none. It accepts `{}` and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_of_a_kind_when_version_and_kind_are_equal() {
        let kind = Kind::new("v1", "ConfigMap");
        assert!(kind.is_of(&json!({"apiVersion": "v1", "kind": "ConfigMap"})));
        assert!(!kind.is_of(&json!({"apiVersion": "v2", "kind": "ConfigMap"})));
        assert!(!kind.is_of(&json!({"apiVersion": "v1", "kind": "Secret"})));
        assert!(!kind.is_of(&json!("ConfigMap")));
    }
}
