use serde::Deserialize;
use serde_json::Value;

/// The spec of a Puppet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(flatten)]
    pub(crate) command: Command,
    /// The children to desire while the parent is being deleted.
    #[serde(default)]
    pub(crate) on_delete: Vec<Value>,
}

/// What to do, by `spec.do`.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Command {
    /// Answer with what the spec holds.
    Apply(Apply),
    /// Fail for good.
    Permanent { message: String },
    /// Fail for now.
    Temporary {
        message: String,
        delay_ms: Option<u64>,
    },
    /// Panic.
    Trap {
        #[serde(default = "trap_message")]
        message: String,
    },
    /// Never return.
    Spin,
    /// Take memory until there is none.
    Hog,
    /// Call itself until the stack is used up.
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
    /// Desire a ConfigMap that holds clocks and random numbers.
    Entropy,
    /// Desire a ConfigMap that says what of the world outside can be reached.
    Environment,
    /// Desire a ConfigMap that holds what the request held.
    Echo,
}

/// A response, word for word.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Apply {
    #[serde(default)]
    pub(crate) children: Vec<Value>,
    /// Passed on whatever it is, so that a suite can try a patch that is not an object.
    pub(crate) status: Option<Value>,
    pub(crate) waiting: Option<String>,
    #[serde(default)]
    pub(crate) events: Vec<News>,
    pub(crate) requeue_after_ms: Option<u64>,
}

/// An Event to publish.
#[derive(Deserialize)]
#[serde(tag = "severity", rename_all = "camelCase")]
pub(crate) enum News {
    Normal { reason: String, message: String },
    Warning { reason: String, message: String },
}

fn trap_message() -> String {
    "the spec says do: trap".to_owned()
}

/// Ten times what the host's log takes.
fn chatter_lines() -> usize {
    1000
}

fn garbage_text() -> String {
    "{\"kind\": \"Config".to_owned()
}
