//! The config of the guest.

use handler_sdk::Kind;
use serde::{Deserialize, Serialize};

/// What `describe` does and returns.
#[derive(Deserialize, Serialize)]
#[serde(try_from = "ConfigFields", rename_all = "camelCase")]
pub(crate) struct PuppetConfig {
    /// The kind of the parents.
    pub(crate) parent: Kind,
    /// The kinds of the children.
    pub(crate) children: Vec<Kind>,
    /// The kinds of related objects.
    pub(crate) related: Vec<Kind>,
    /// The granularity of the clock, in milliseconds.
    pub(crate) clock_ms: Option<u64>,
    /// Whether the description asks for a finalizer.
    pub(crate) finalizer: bool,
    /// How `describe` goes wrong, or `None` when it does not.
    pub(crate) describe: Option<Misbehaviour>,
    /// What is added to the names of the children of `do: echo`.
    pub(crate) suffix: String,
}

/// How `describe` goes wrong.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Misbehaviour {
    Trap,
    Spin,
}

/// The config as a user writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfigFields {
    parent: Option<Kind>,
    children: Option<Vec<Kind>>,
    #[serde(default)]
    related: Vec<Kind>,
    clock_ms: Option<u64>,
    #[serde(default)]
    finalizer: bool,
    describe: Option<Misbehaviour>,
    #[serde(default)]
    suffix: String,
    /// The message with which the guest refuses this config.
    refuse: Option<String>,
}

impl TryFrom<ConfigFields> for PuppetConfig {
    type Error = String;

    fn try_from(fields: ConfigFields) -> Result<Self, String> {
        if let Some(message) = fields.refuse {
            return Err(message);
        }
        Ok(Self {
            parent: fields
                .parent
                .unwrap_or_else(|| Kind::new("tests.handler-host.dev/v1", "Puppet")),
            children: fields.children.unwrap_or_else(|| {
                vec![
                    Kind::new("v1", "ConfigMap"),
                    Kind::new("v1", "PersistentVolumeClaim"),
                ]
            }),
            related: fields.related,
            clock_ms: fields.clock_ms,
            finalizer: fields.finalizer,
            describe: fields.describe,
            suffix: fields.suffix,
        })
    }
}
