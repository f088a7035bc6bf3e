use std::process::ExitCode;

use anyhow::Result;
use handler_host_cluster::resource::Handler;
use handler_host_core::Kind;
use kube::CustomResourceExt as _;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::arguments::{CrdArguments, CrdOutput};
use crate::telemetry;

/// Prints the CustomResourceDefinition of Handlers, or one for the parents of a handler, for `kubectl apply`.
pub(crate) fn crd(arguments: &CrdArguments) -> Result<ExitCode> {
    let crd = match &arguments.parent {
        Some(kind) => of_parents(kind),
        None => serde_json::to_value(Handler::crd())?,
    };
    let text = match arguments.output {
        CrdOutput::Yaml => serde_saphyr::to_string(&crd)?,
        CrdOutput::Json => serde_json::to_string_pretty(&crd)?,
    };
    telemetry::print(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// A definition that keeps every field of the status that the host writes. The spec keeps all fields until its author
/// describes them.
fn of_parents(kind: &Kind) -> Value {
    let resource = GroupVersionKind::gvk(kind.group(), kind.version(), &kind.kind);
    let plural = ApiResource::from_gvk(&resource).plural;
    let ready = |field: &str| format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{}", kind.group())},
        "spec": {
            "group": kind.group(),
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": format!("{}List", kind.kind),
                "plural": plural,
                "singular": kind.kind.to_lowercase(),
            },
            "versions": [{
                "name": kind.version(),
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Ready", "type": "string", "jsonPath": ready("status")},
                    {"name": "Reason", "type": "string", "jsonPath": ready("reason")},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        "status": status(),
                    },
                }},
            }],
        },
    })
}

/// The status as the host writes it: conditions, and the handlers that decided. The handler may add fields.
fn status() -> Value {
    let text = || json!({"type": "string"});
    json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
                    "properties": {
                        "type": text(),
                        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                        "observedGeneration": {"type": "integer", "format": "int64"},
                        "lastTransitionTime": {"type": "string", "format": "date-time"},
                        "reason": text(),
                        "message": text(),
                    },
                },
            },
            "handlers": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"condition": text(), "digest": text()},
                },
            },
        },
    })
}
