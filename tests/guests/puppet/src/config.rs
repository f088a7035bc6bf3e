use handler_sdk::Kind;
use serde::{Deserialize, Serialize};

/// What `describe` does and answers.
#[derive(Deserialize, Serialize)]
#[serde(try_from = "Fields", rename_all = "camelCase")]
pub(crate) struct Config {
    /// The parent's kind.
    pub(crate) parent: Kind,
    /// The children's kinds.
    pub(crate) children: Vec<Kind>,
    /// Whether to ask for a finalizer.
    pub(crate) finalizer: bool,
    /// How to go wrong instead.
    pub(crate) describe: Option<Misbehaviour>,
}

/// How `describe` goes wrong.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Misbehaviour {
    Trap,
    Spin,
}

/// The config as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    parent: Option<Kind>,
    children: Option<Vec<Kind>>,
    #[serde(default)]
    finalizer: bool,
    describe: Option<Misbehaviour>,
    /// A message to refuse this config with.
    refuse: Option<String>,
}

impl TryFrom<Fields> for Config {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
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
            finalizer: fields.finalizer,
            describe: fields.describe,
        })
    }
}
