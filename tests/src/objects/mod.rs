//! Objects of Kubernetes, which tests handle as JSON: functions that make them, their kinds, and manifests.

pub mod kinds;
pub mod manifest;
pub mod things;

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

/// An EphemeralVolumeClaim: `evc("a", "1Gi")`, `evc("a", 1024)`. For `Value::Null` it has no size.
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

/// A Puppet: a parent whose spec says what its handler does.
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

/// An object of any kind. `rest` is a JSON object of its other fields.
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

/// The condition of this type in an object's status.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)
}

/// The names `claim-0`, `claim-1` and so on, `count` of them.
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("claim-{index}")).collect()
}

/// A ConfigMap whose binaryData holds a module.
pub fn module_map(name: &str, key: &str, module: &[u8]) -> Value {
    let bytes = k8s_openapi::ByteString(module.to_vec());
    object(
        "v1",
        "ConfigMap",
        name,
        &json!({"binaryData": {key: bytes}}),
    )
}

/// The JSON of an object that the API server sent.
pub(crate) fn to_value(object: &DynamicObject) -> Value {
    match serde_json::to_value(object) {
        Ok(value) => value,
        Err(error) => panic!("an object that is not JSON: {error}"),
    }
}

/// The text of a JSON string; an empty text for everything else.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
