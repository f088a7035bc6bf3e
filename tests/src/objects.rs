//! Makers and kinds of the objects in tests. Objects are JSON: tests own no types of their own.

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// An EphemeralVolumeClaim: `evc("a", "1Gi")`, `evc("a", 1024)`. Without size for `Value::Null`.
pub fn evc(name: &str, size: impl Into<Value>) -> Value {
    let size = size.into();
    let spec = if size.is_null() {
        json!({})
    } else {
        json!({"size": size})
    };
    object(
        "kopf.dev/v1",
        "EphemeralVolumeClaim",
        name,
        &json!({"spec": spec}),
    )
}

/// A Puppet: a parent whose spec says what its handler shall do.
pub fn puppet(name: &str, spec: impl Into<Value>) -> Value {
    object(
        "tests.handler-host.dev/v1",
        "Puppet",
        name,
        &json!({"spec": spec.into()}),
    )
}

/// A ConfigMap with one entry.
pub fn config_map(name: &str, key: &str, value: &str) -> Value {
    object("v1", "ConfigMap", name, &json!({"data": {key: value}}))
}

/// An object of any kind, the rest of its fields given as a JSON object.
pub fn object(api_version: &str, kind: &str, name: &str, rest: &Value) -> Value {
    let mut object = rest.clone();
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    object["metadata"]["name"] = json!(name);
    object
}

/// The API resource of a kind, such as `("v1", "PersistentVolumeClaim")`.
pub fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The condition of a type in an object's status.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)
}
