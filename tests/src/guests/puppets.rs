//! Specs of Puppets.

use serde_json::{Value, json};

use crate::objects::config_map;

/// The spec of a Puppet that desires these children.
pub fn desire(children: &[Value]) -> Value {
    json!({"do": "apply", "children": children})
}

/// The spec of a Puppet that desires one ConfigMap, whose entry `key` has this value.
pub fn desire_entry(name: &str, value: &str) -> Value {
    desire(&[config_map(name, "key", value)])
}
