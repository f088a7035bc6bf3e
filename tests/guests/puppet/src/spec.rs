//! The spec of a Puppet.

use std::collections::BTreeMap;

use handler_sdk::{Condition, Kind, Query};
use serde::Deserialize;
use serde_json::Value;

/// The spec of a Puppet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PuppetSpec {
    #[serde(flatten)]
    pub(crate) command: PuppetCommand,
    /// The children that the guest desires while the parent is being deleted.
    #[serde(default)]
    pub(crate) on_delete: Vec<Value>,
    /// The queries for related objects.
    #[serde(default)]
    pub(crate) queries: Vec<PuppetQuery>,
}

/// A query for related objects: for all in the parent's namespace, unless it says something else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PuppetQuery {
    #[serde(default = "config_map")]
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
    #[serde(default)]
    pub(crate) everywhere: bool,
    pub(crate) name: Option<String>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

impl From<&PuppetQuery> for Query {
    fn from(query: &PuppetQuery) -> Self {
        let kind = query.kind.clone();
        let asked = match (&query.name, &query.labels) {
            (Some(name), _) => Self::named(kind, name),
            (None, Some(labels)) => Self::labelled(kind, labels.clone()),
            (None, None) => Self::all(kind),
        };
        match &query.namespace {
            Some(namespace) => asked.in_namespace(namespace),
            None if query.everywhere => asked.everywhere(),
            None => asked,
        }
    }
}

fn config_map() -> Kind {
    Kind::new("v1", "ConfigMap")
}

/// What the guest does, by the field `do`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum PuppetCommand {
    /// Return the response of the spec.
    Apply(PuppetResponse),
    /// Fail permanently.
    Permanent(PuppetFailure),
    /// Fail temporarily.
    Temporary(PuppetFailure),
    /// Panic.
    Trap {
        #[serde(default = "trap_message")]
        message: String,
    },
    /// Run without end.
    Spin,
    /// Take memory until there is no more.
    Hog,
    /// Recurse until the stack is used up.
    Recurse,
    /// Take handles and keep them.
    Handles,
    /// Ask for this many random bytes at once.
    Draw { bytes: u64 },
    /// Write this text to the log, to standard output and to standard error.
    Say { text: String },
    /// Write this many lines to the log, to standard output and to standard error.
    Chatter {
        #[serde(default = "chatter_lines")]
        lines: usize,
    },
    /// Desire a child that is this text.
    Garbage {
        #[serde(default = "garbage_text")]
        text: String,
    },
    /// Desire this many ConfigMaps, named after the parent and counted from 0.
    Flood { count: usize },
    /// Desire a ConfigMap with this much text.
    Huge { bytes: usize },
    /// Desire this many ConfigMaps, each once the one before is there, and count those that are there.
    Chain { count: usize },
    /// Desire a ConfigMap with another content than it has.
    Alternate,
    /// Desire a ConfigMap if there is none.
    Blink,
    /// Desire a ConfigMap with clocks and random numbers.
    Entropy,
    /// Desire a ConfigMap that says what the guest can reach of the world outside.
    Environment,
    /// Desire a ConfigMap with the contents of the request.
    Echo,
    /// Desire a ConfigMap that says which objects answer the queries, and what time it is.
    Relate {
        /// When to be called again, in milliseconds after that time.
        requeue_at_ms: Option<u64>,
    },
    /// Fail permanently when it is asked for its queries.
    AskPermanent { message: String },
    /// Panic when it is asked for its queries.
    AskTrap,
}

/// The response of `do: apply`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PuppetResponse {
    #[serde(default)]
    pub(crate) children: Vec<Value>,
    /// The names of observed ConfigMaps to keep, and of one that may not be there.
    #[serde(default)]
    pub(crate) keep: Vec<String>,
    /// The status patch. It may be any JSON value, so that a suite can try a patch that is not an object.
    pub(crate) status: Option<Value>,
    #[serde(default)]
    pub(crate) conditions: Vec<PuppetCondition>,
    pub(crate) waiting: Option<String>,
    #[serde(default)]
    pub(crate) events: Vec<PuppetEvent>,
    pub(crate) requeue_after_ms: Option<u64>,
}

/// How the guest fails.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PuppetFailure {
    pub(crate) message: String,
    pub(crate) delay_ms: Option<u64>,
    /// The status patch.
    pub(crate) status: Option<Value>,
    #[serde(default)]
    pub(crate) conditions: Vec<PuppetCondition>,
}

/// A condition of the parent.
#[derive(Deserialize)]
pub(crate) struct PuppetCondition {
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    holds: bool,
    #[serde(default = "reason")]
    reason: String,
    #[serde(default)]
    message: String,
}

impl From<&PuppetCondition> for Condition {
    fn from(condition: &PuppetCondition) -> Self {
        let PuppetCondition {
            type_,
            holds,
            reason,
            message,
        } = condition;
        Self::new(type_, *holds, reason, message)
    }
}

fn reason() -> String {
    "Because".to_owned()
}

/// An Event that the host is to publish.
#[derive(Deserialize)]
#[serde(tag = "severity", rename_all = "camelCase")]
pub(crate) enum PuppetEvent {
    Normal { reason: String, message: String },
    Warning { reason: String, message: String },
}

fn trap_message() -> String {
    "the spec says do: trap".to_owned()
}

/// Ten times as many lines as the log of the host takes.
fn chatter_lines() -> usize {
    1000
}

fn garbage_text() -> String {
    "{\"kind\": \"Config".to_owned()
}
