use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::{CustomResourceExt as _, Resource as _};
use serde_json::Value;

use super::spec::Handler;

/// Why a document is not a Handler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another kind of object.
    #[error("{found} is no Handler of {}; write one", Handler::api_version(&()))]
    Kind {
        /// The apiVersion and kind that it has.
        found: String,
    },
    /// A field that Handlers do not have.
    #[error("{path} is no field of a Handler; there it has {known}")]
    Unknown {
        /// The field.
        path: String,
        /// The fields that exist there.
        known: String,
    },
    /// A field that is not there.
    #[error("{path} is missing; write it")]
    Missing {
        /// The field.
        path: String,
    },
    /// A field of another type.
    #[error("{path} is {value}, which is no {expected}; write one")]
    Type {
        /// The field.
        path: String,
        /// What it holds.
        value: String,
        /// The type it should have.
        expected: String,
    },
    /// A value that is not one of those allowed.
    #[error("{path} is {value}; write one of {known}")]
    Word {
        /// The field.
        path: String,
        /// What it holds.
        value: String,
        /// The allowed values.
        known: String,
    },
    /// Any other mismatch.
    #[error("{path} does not fit ({problem}); correct it")]
    Other {
        /// The part of the document.
        path: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// Reads a Handler from a document that passed no API server. Like the API server under strict validation, it refuses
/// fields that the CRD's schema does not have. A field that is null counts as missing.
///
/// # Errors
///
/// When the document is no Handler, or a field is unknown, missing or of another type.
pub fn read(mut document: Value) -> Result<Handler, ReadError> {
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version != Some(&Handler::api_version(&())) || kind != Some(&Handler::kind(&())) {
        let found = match (api_version, kind) {
            (Some(api_version), Some(kind)) => format!("a {api_version} {kind}"),
            (Some(_), None) | (None, Some(_)) | (None, None) => cut(&document),
        };
        return Err(ReadError::Kind { found });
    }
    if let Some(fields) = document.as_object_mut() {
        // Only the host writes the status, and the output of `kubectl get --output yaml` contains it.
        fields.remove("status");
    }
    check(&mut document)?;
    let mut part = |name: &str| document.get_mut(name).map(Value::take).unwrap_or_default();
    let other = |path: &'static str| {
        move |error: serde_json::Error| ReadError::Other {
            path,
            problem: error.to_string(),
        }
    };
    let spec = serde_json::from_value(part("spec")).map_err(other("spec"))?;
    let mut handler = Handler::new("", spec);
    handler.metadata = serde_json::from_value(part("metadata")).map_err(other("metadata"))?;
    Ok(handler)
}

fn check(document: &mut Value) -> Result<(), ReadError> {
    // Making it takes much longer than using it, and there may be thousands of documents.
    static SCHEMA: LazyLock<JSONSchemaProps> = LazyLock::new(schema);
    fit(document, &SCHEMA, "")
}

/// The schema of a whole Handler without its status.
fn schema() -> JSONSchemaProps {
    let mut crd = Handler::crd();
    let schema = crd.spec.versions.pop().and_then(|version| version.schema);
    let mut root = schema
        .and_then(|schema| schema.open_api_v3_schema)
        .unwrap_or_default();
    if let Some(properties) = &mut root.properties {
        properties.remove("status");
    }
    // The API server adds the fields that every object has to a schema.
    let properties = root.properties.get_or_insert_default();
    for (name, type_) in [
        ("apiVersion", "string"),
        ("kind", "string"),
        ("metadata", "object"),
    ] {
        let anything = JSONSchemaProps {
            type_: Some(type_.to_owned()),
            x_kubernetes_preserve_unknown_fields: Some(true),
            ..JSONSchemaProps::default()
        };
        properties.insert(name.to_owned(), anything);
    }
    root.required
        .get_or_insert_default()
        .push("metadata".to_owned());
    root
}

/// Compares a value with its schema, and removes the nulls that the API server would drop.
fn fit(value: &mut Value, schema: &JSONSchemaProps, path: &str) -> Result<(), ReadError> {
    let expected = schema.type_.as_deref().unwrap_or("object");
    let is_fitting = match value {
        Value::Null => false,
        Value::Bool(_) => expected == "boolean",
        Value::Number(number) => {
            expected == "number" || (expected == "integer" && (number.is_i64() || number.is_u64()))
        }
        Value::String(_) => expected == "string",
        Value::Array(_) => expected == "array",
        Value::Object(_) => expected == "object",
    };
    if !is_fitting {
        return Err(ReadError::Type {
            path: path.to_owned(),
            value: cut(value),
            expected: expected.to_owned(),
        });
    }
    if let Some(words) = &schema.enum_
        && !words.iter().any(|word| word.0 == *value)
    {
        let words: Vec<_> = words.iter().map(|word| word.0.to_string()).collect();
        return Err(ReadError::Word {
            path: path.to_owned(),
            value: cut(value),
            known: words.join(", "),
        });
    }
    if let (Some(items), Some(JSONSchemaPropsOrArray::Schema(schema))) =
        (value.as_array_mut(), &schema.items)
    {
        for (index, item) in items.iter_mut().enumerate() {
            fit(item, schema, &format!("{path}[{index}]"))?;
        }
    }
    fit_fields(value, schema, path)
}

fn fit_fields(value: &mut Value, schema: &JSONSchemaProps, path: &str) -> Result<(), ReadError> {
    let Some(fields) = value.as_object_mut() else {
        return Ok(());
    };
    if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
        return Ok(());
    }
    fields.retain(|_, value| !value.is_null());
    let at = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let empty = std::collections::BTreeMap::new();
    let known = schema.properties.as_ref().unwrap_or(&empty);
    let any = match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(schema)) => Some(&**schema),
        Some(JSONSchemaPropsOrBool::Bool(_)) | None => None,
    };
    for (name, value) in fields.iter_mut() {
        let Some(schema) = known.get(name).or(any) else {
            let known: Vec<_> = known.keys().map(String::as_str).collect();
            return Err(ReadError::Unknown {
                path: at(name),
                known: known.join(", "),
            });
        };
        fit(value, schema, &at(name))?;
    }
    let required = schema.required.iter().flatten();
    match required
        .into_iter()
        .find(|name| !fields.contains_key(*name))
    {
        Some(name) => Err(ReadError::Missing { path: at(name) }),
        None => Ok(()),
    }
}

fn cut(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 {
        return text;
    }
    text.chars().take(60).chain(['…']).collect()
}
