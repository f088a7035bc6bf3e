//! The spec of a Puppet.

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
}

/// What the guest does, by the field `do`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum PuppetCommand {
    /// Return the response of the spec.
    Apply(PuppetResponse),
    /// Fail permanently.
    Permanent { message: String },
    /// Fail temporarily.
    Temporary {
        message: String,
        delay_ms: Option<u64>,
    },
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
}

/// The response of `do: apply`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PuppetResponse {
    #[serde(default)]
    pub(crate) children: Vec<Value>,
    /// The status patch. It may be any JSON value, so that a suite can try a patch that is not an object.
    pub(crate) status: Option<Value>,
    pub(crate) waiting: Option<String>,
    #[serde(default)]
    pub(crate) events: Vec<PuppetEvent>,
    pub(crate) requeue_after_ms: Option<u64>,
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
