//! The worked example: an EphemeralVolumeClaim gets a PersistentVolumeClaim of the same name.

use std::cmp::Ordering;

use handler_sdk::{Description, Failure, Handler, Kind, Metadata, Quantity, Request, Response};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

struct EvcHandler;

handler_sdk::export!(EvcHandler, "evc");

#[derive(Deserialize)]
struct EphemeralVolumeClaim {
    metadata: Metadata,
    // Any JSON is accepted, so that a wrong size reaches `storage_request`, which says what is right.
    #[serde(default)]
    spec: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EvcConfig {
    #[serde(default = "default_class", deserialize_with = "class_name")]
    storage_class: String,
    /// The labels of the claim that its volume claim gets too. None if none is named: tools such as Argo CD, Helm or
    /// kubectl's pruning own the objects that carry their labels, and delete those that they did not make.
    #[serde(default)]
    copy_labels: Vec<String>,
}

fn default_class() -> String {
    "standard".to_owned()
}

fn class_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() {
        let rule = "must be the name of a storage class, such as standard; got \"\"";
        return Err(D::Error::custom(rule));
    }
    Ok(name)
}

impl Handler for EvcHandler {
    type Parent = EphemeralVolumeClaim;
    type Config = EvcConfig;

    fn describe(_config: &EvcConfig) -> Description {
        Description::new(Kind::new("kopf.dev/v1", "EphemeralVolumeClaim"))
            .child(Kind::new("v1", "PersistentVolumeClaim"))
    }

    fn reconcile(request: Request<EphemeralVolumeClaim, EvcConfig>) -> Result<Response, Failure> {
        let EphemeralVolumeClaim { metadata, spec } = request.parent;
        let storage = storage_request(&spec)?;
        let EvcConfig {
            storage_class,
            copy_labels,
        } = request.config;
        let mut labels = metadata.labels;
        labels.retain(|name, _| copy_labels.contains(name));
        Ok(Response::ready([json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": metadata.name,
                "labels": labels,
                "annotations": {
                    "volume.beta.kubernetes.io/storage-class": storage_class,
                },
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": storage}},
            },
        })]))
    }
}

/// Returns `spec.size` as it was given, if it is a quantity above zero.
fn storage_request(spec: &Value) -> Result<String, Failure> {
    if !spec.is_object() && !spec.is_null() {
        let message = format!("Spec must be an object such as {{\"size\": \"1Gi\"}}. Got {spec}.");
        return Err(Failure::permanent(message));
    }
    let size = &spec["size"];
    let refuse = |rule: &str| {
        let message = format!("Size must be {rule}. Got {size}.");
        Err(Failure::permanent(message))
    };
    if size.is_null() || size == "" {
        return refuse("set");
    }
    // The JSON of a number is a quantity. The JSON of a list, an object or a boolean is not.
    let text = size
        .as_str()
        .map_or_else(|| size.to_string(), str::to_owned);
    match text.parse::<Quantity>().map(|size| size.sign()) {
        Ok(Ordering::Greater) => Ok(text),
        Ok(Ordering::Equal) => refuse("set"),
        Ok(Ordering::Less) => refuse("positive, such as 1Gi"),
        Err(_) => refuse("a quantity such as 1Gi"),
    }
}

#[cfg(test)]
mod tests;
