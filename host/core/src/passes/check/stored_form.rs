//! What a handler wrote, in the form in which the API server stores it. So it can be compared with what is stored, and
//! server-side apply removes each key that is desired no more.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::objects::FieldType;
use crate::{FieldTypes, Kind};

/// Drops from a child what says nothing: nulls of metadata, nulls that the API server drops too, and an empty status.
/// Clients in Go and Python print these.
pub(super) fn drop_what_says_nothing(child: &mut Map<String, Value>, types: &FieldTypes) {
    if child.get("status").is_some_and(is_zero) {
        child.remove("status");
    }
    for (name, field) in child.iter_mut() {
        let field_type = match name.as_str() {
            // No field of metadata can be null, whatever the kind.
            "metadata" => FieldType::Plain,
            name => types.root().field(name),
        };
        drop_nulls(field, field_type);
    }
    child.retain(|name, field| !(field.is_null() && types.root().field(name).drops_null()));
}

fn drop_nulls(value: &mut Value, field_type: FieldType<'_>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| !(field.is_null() && field_type.field(name).drops_null()));
            for (name, field) in fields {
                drop_nulls(field, field_type.field(name));
            }
        }
        Value::Array(elements) => {
            for element in elements {
                drop_nulls(element, field_type.element());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a value consists of the zero values of Go and nothing else. The status of a child that a client in Go made has
/// these in the fields that are always printed, such as `replicas: 0`.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_true) => !is_true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.values().all(is_zero),
    }
}

/// Moves the texts of a Secret from `stringData`, which cannot be read back, to `data`. A key in both has the value of
/// `stringData`, as the API server decides it. Values that are no texts stay: the API server refuses them.
pub(super) fn merge_string_data(kind: &Kind, child: &mut Map<String, Value>) {
    if kind.api_version != "v1" || kind.kind != "Secret" {
        return;
    }
    let Some(Value::Object(texts)) = child.get("stringData") else {
        return;
    };
    let encoded: Option<Map<_, _>> = texts
        .iter()
        .map(|(key, text)| Some((key.clone(), Value::String(STANDARD.encode(text.as_str()?)))))
        .collect();
    let Some(mut encoded) = encoded else {
        return;
    };
    let data = child.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    if let Some(data) = data.as_object_mut() {
        data.append(&mut encoded);
        child.remove("stringData");
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn types() -> FieldTypes {
        let document = include_bytes!("../../objects/field_types/things.json");
        let schemas = crate::Schemas::parse(document).unwrap();
        let kind = Kind::new("tests.handler-host.dev/v1", "Thing").unwrap();
        schemas.of(&kind).unwrap()
    }

    #[rstest]
    #[case::metadata(
        json!({"metadata": {"name": "a", "creationTimestamp": null, "labels": {"a": null}}}),
        json!({"metadata": {"name": "a", "labels": {}}}))]
    #[case::empty_status(json!({"status": {}}), json!({}))]
    #[case::null_status(json!({"status": null}), json!({}))]
    #[case::status_of_zero_values(
        json!({"status": {"loadBalancer": {}, "replicas": 0, "conditions": null}}), json!({}))]
    #[case::status_with_content(
        json!({"status": {"replicas": 1}}), json!({"status": {"replicas": 1}}))]
    #[case::status_with_an_element(
        json!({"status": {"conditions": [{}]}}), json!({"status": {"conditions": [{}]}}))]
    #[case::fields_and_their_fields(
        json!({"spec": {"text": null, "template": {"metadata": {"creationTimestamp": null}}, "list": [{"name": "a", "text": null}]}}),
        json!({"spec": {"template": {"metadata": {}}, "list": [{"name": "a"}]}}))]
    #[case::a_whole_spec(json!({"spec": null}), json!({}))]
    #[case::where_null_is_a_value(
        json!({"spec": {"nullable": null, "open": {"a": null, "b": {"c": null}}}}),
        json!({"spec": {"nullable": null, "open": {"a": null, "b": {"c": null}}}}))]
    fn what_says_nothing_is_dropped(#[case] written: Value, #[case] kept: Value) {
        let Value::Object(mut child) = written else {
            panic!("it is no object");
        };
        drop_what_says_nothing(&mut child, &types());
        assert_eq!(Value::Object(child), kept);
    }

    #[test]
    fn without_a_schema_only_nulls_of_metadata_are_known_to_say_nothing() {
        let written = json!({"metadata": {"labels": null}, "spec": {"a": null}, "data": null});
        let Value::Object(mut child) = written else {
            panic!("it is no object");
        };
        drop_what_says_nothing(&mut child, &FieldTypes::default());
        assert_eq!(
            Value::Object(child),
            json!({"metadata": {}, "spec": {"a": null}, "data": null})
        );
    }

    #[rstest]
    #[case::alone("Secret", json!({"stringData": {"a": "1", "b": ""}}), json!({"data": {"a": "MQ==", "b": ""}}))]
    #[case::over_data(
        "Secret",
        json!({"data": {"a": "MQ==", "c": "Mw=="}, "stringData": {"a": "2"}}),
        json!({"data": {"a": "Mg==", "c": "Mw=="}}))]
    #[case::over_null("Secret", json!({"data": null, "stringData": {"a": "2"}}), json!({"data": {"a": "Mg=="}}))]
    #[case::of_another_type("Secret", json!({"stringData": {"a": 1}}), json!({"stringData": {"a": 1}}))]
    #[case::of_another_kind("Config", json!({"stringData": {"a": "1"}}), json!({"stringData": {"a": "1"}}))]
    fn string_data_is_data(#[case] kind: &str, #[case] written: Value, #[case] stored: Value) {
        let Value::Object(mut child) = written else {
            panic!("it is no object");
        };
        merge_string_data(&Kind::new("v1", kind).unwrap(), &mut child);
        assert_eq!(Value::Object(child), stored);
    }
}
