use rstest::rstest;
use serde_json::json;

use super::*;
use crate::{Kind, Schemas};

fn thing() -> Kind {
    Kind::new("tests.handler-host.dev/v1", "Thing").unwrap()
}

fn types() -> FieldTypes {
    let schemas = Schemas::parse(include_bytes!("../field_types/things.json")).unwrap();
    schemas.of(&thing()).unwrap()
}

fn digest() -> Digest {
    Digest::of(b"the desired state")
}

/// An object with this spec. `applied` is what the API server has recorded of the spec for the handler's manager.
fn object(spec: &Value, state: Digest, applied: Option<Value>) -> Object {
    let managed = applied.map(|fields| {
        json!([
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:other": {}}}},
            {"manager": "handler-host/evc", "operation": "Update", "fieldsV1": {"f:spec": {"f:other": {}}}},
            {"manager": "handler-host/evc", "operation": "Apply", "subresource": "status", "fieldsV1": {}},
            {"manager": "handler-host/evc", "operation": "Apply", "fieldsV1": {"f:spec": fields}},
        ])
    });
    let metadata = json!({
        "name": "a",
        "labels": {"handler-host.dev/handler": "evc"},
        "annotations": {APPLIED_ANNOTATION: state.to_string()},
        "managedFields": managed.unwrap_or_else(|| json!([])),
    });
    let text = json!({"metadata": metadata, "spec": spec}).to_string();
    Object::parse(&thing(), &text).unwrap()
}

fn stands_in(desired: &Value, types: &FieldTypes, observed: &Object) -> bool {
    has_desired_fields(&json!({"spec": desired}), digest(), types, observed)
}

#[rstest]
#[case::equal(json!({"a": 1}), json!({"a": 1}), true)]
#[case::others_fields_beside(json!({"a": 1}), json!({"a": 1, "b": 2}), true)]
#[case::changed(json!({"a": 1}), json!({"a": 2}), false)]
#[case::gone(json!({"a": 1}), json!({}), false)]
#[case::null_left_out(json!({"a": null}), json!({}), true)]
#[case::null_filled_in(json!({"a": null}), json!({"a": 1}), true)]
#[case::empty_map_left_out(json!({"a": {}}), json!({}), true)]
#[case::empty_map_filled(json!({"a": {}}), json!({"a": {"b": 1}}), true)]
#[case::map_of_nulls_left_out(json!({"a": {"b": null}}), json!({}), true)]
#[case::empty_list_left_out(json!({"a": []}), json!({}), true)]
#[case::empty_list_filled(json!({"a": []}), json!({"a": [1]}), false)]
#[case::zero_left_out(json!({"a": 0}), json!({}), false)]
#[case::defaults_within_elements(json!({"l": [{"a": 1}]}), json!({"l": [{"a": 1, "b": 2}]}), true)]
#[case::an_element_more(json!({"l": [1]}), json!({"l": [1, 2]}), false)]
#[case::another_order(json!({"l": [1, 2]}), json!({"l": [2, 1]}), false)]
#[case::text_like_a_quantity(json!({"a": "1024Mi"}), json!({"a": "1Gi"}), false)]
#[case::text_like_a_number(json!({"a": "1.0"}), json!({"a": "1"}), false)]
#[case::float_for_integer(json!({"a": 1.0}), json!({"a": 1}), true)]
#[case::another_type(json!({"a": "1"}), json!({"a": 1}), false)]
#[case::map_for_text(json!({"a": {"b": 1}}), json!({"a": "b"}), false)]
#[case::list_for_map(json!({"a": {}}), json!({"a": []}), false)]
fn without_record_and_schema_values_are_compared_as_they_are(
    #[case] desired: Value,
    #[case] observed: Value,
    #[case] stands: bool,
) {
    let observed = object(&observed, digest(), None);
    assert_eq!(
        stands_in(&desired, &FieldTypes::default(), &observed),
        stands
    );
}

#[rstest]
#[case::canonical_quantity(json!({"size": "1024Mi"}), json!({"size": "1Gi"}), true)]
#[case::number_as_quantity(json!({"size": 1000}), json!({"size": "1k"}), true)]
#[case::another_quantity(json!({"size": "1024Mi"}), json!({"size": "2Gi"}), false)]
#[case::not_the_canonical_form(json!({"size": "1Gi"}), json!({"size": "1024Mi"}), false)]
#[case::quantities_of_a_map(json!({"sizes": {"a": "1024Mi"}}), json!({"sizes": {"a": "1Gi"}}), true)]
#[case::quantity_of_an_element(
    json!({"list": [{"name": "a", "within": {"size": 0.5}}]}),
    json!({"list": [{"name": "a", "within": {"size": "500m"}}]}), true)]
#[case::text(json!({"text": "1024Mi"}), json!({"text": "1Gi"}), false)]
#[case::int_or_string(json!({"either": "1024Mi"}), json!({"either": "1Gi"}), false)]
#[case::number_for_int_or_string(json!({"either": 1000}), json!({"either": "1k"}), false)]
#[case::text_in_an_open_object(json!({"open": {"size": "1.0"}}), json!({"open": {"size": "1"}}), false)]
#[case::text_in_a_map(json!({"maps": {"size": {"text": "1.0"}}}), json!({"maps": {"size": {"text": "1"}}}), false)]
#[case::text_in_a_set(json!({"set": ["1.0"]}), json!({"set": ["1"]}), false)]
#[case::null_where_it_is_no_value(json!({"text": null}), json!({"text": "x"}), true)]
#[case::null_where_it_is_a_value(json!({"nullable": null}), json!({"nullable": "x"}), false)]
#[case::null_in_an_open_object(json!({"open": {"a": null}}), json!({"open": {"a": 1}}), false)]
#[case::null_that_may_be_any_value(json!({"any": null}), json!({"any": 1}), false)]
#[case::no_element_of_a_shared_list(json!({"list": []}), json!({"list": [{"name": "a"}]}), true)]
#[case::no_element_of_a_whole_list(json!({"whole": []}), json!({"whole": ["a"]}), false)]
fn the_schema_says_how_values_are_compared(
    #[case] desired: Value,
    #[case] observed: Value,
    #[case] stands: bool,
) {
    let observed = object(&observed, digest(), None);
    assert_eq!(stands_in(&desired, &types(), &observed), stands);
}

#[rstest]
#[case::zero_left_out(json!({"n": 0}), json!({}), json!({"f:n": {}}), true)]
#[case::zero_that_somebody_changed(json!({"n": 0}), json!({"n": 3}), json!({}), false)]
#[case::text_that_a_webhook_changed(json!({"a": "1"}), json!({"a": "2"}), json!({"f:a": {}}), true)]
#[case::text_that_somebody_changed(json!({"a": "1"}), json!({"a": "2"}), json!({"f:b": {}}), false)]
#[case::text_changed_and_changed_back(json!({"a": "1"}), json!({"a": "1"}), json!({}), true)]
#[case::empty_map_left_out(json!({"a": {}}), json!({}), json!({"f:a": {}}), true)]
#[case::empty_map_that_was_replaced(json!({"a": {}}), json!({"b": {}}), json!({}), false)]
#[case::null_that_was_applied(json!({"nullable": null}), json!({"nullable": "d"}), json!({"f:nullable": {}}), true)]
#[case::whole_list_lengthened(json!({"whole": ["a"]}), json!({"whole": ["a", "b"]}), json!({"f:whole": {}}), true)]
#[case::whole_list_lengthened_by_somebody(json!({"whole": ["a"]}), json!({"whole": ["a", "b"]}), json!({}), false)]
#[case::shared_list_lengthened(
    json!({"list": [{"name": "a", "text": "1"}]}),
    json!({"list": [{"name": "x"}, {"name": "a", "protocol": "TCP", "text": "1"}]}),
    json!({"f:list": {r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}, "f:text": {}}}}), true)]
#[case::element_changed_by_somebody(
    json!({"list": [{"name": "a", "text": "1"}]}),
    json!({"list": [{"name": "a", "protocol": "TCP", "text": "2"}]}),
    json!({"f:list": {r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}}}}), false)]
#[case::element_removed(
    json!({"list": [{"name": "a"}, {"name": "b"}]}),
    json!({"list": [{"name": "a", "protocol": "TCP"}]}),
    json!({"f:list": {r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}}}}), false)]
#[case::element_removed_by_a_webhook(
    json!({"list": [{"name": "a"}, {"name": "b"}]}),
    json!({"list": [{"name": "a", "protocol": "TCP"}]}),
    json!({"f:list": {
        r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}},
        r#"k:{"name":"b","protocol":"TCP"}"#: {".": {}, "f:name": {}},
    }}), true)]
#[case::element_without_the_key_that_another_names(
    json!({"list": [{"name": "a", "text": ""}, {"name": "a", "protocol": "UDP", "text": ""}]}),
    json!({"list": [{"name": "a", "protocol": "TCP"}, {"name": "a", "protocol": "UDP"}]}),
    json!({"f:list": {
        r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}, "f:text": {}},
        r#"k:{"name":"a","protocol":"UDP"}"#: {".": {}, "f:name": {}, "f:protocol": {}, "f:text": {}},
    }}), true)]
#[case::element_without_the_key_changed_by_somebody(
    json!({"list": [{"name": "a", "text": ""}, {"name": "a", "protocol": "UDP", "text": ""}]}),
    json!({"list": [{"name": "a", "protocol": "TCP", "text": "x"}, {"name": "a", "protocol": "UDP"}]}),
    json!({"f:list": {
        r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}},
        r#"k:{"name":"a","protocol":"UDP"}"#: {".": {}, "f:name": {}, "f:protocol": {}, "f:text": {}},
    }}), false)]
#[case::element_that_leaves_open_which_key_is_meant(
    json!({"list": [{"name": "a"}]}),
    json!({"list": [{"name": "a", "protocol": "UDP", "text": "x"}, {"name": "a", "protocol": "TCP"}]}),
    json!({"f:list": {
        r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}},
        r#"k:{"name":"a","protocol":"UDP"}"#: {".": {}, "f:name": {}},
    }}), false)]
#[case::part_of_an_element_replaced(
    json!({"list": [{"name": "a", "source": {}}]}),
    json!({"list": [{"name": "a", "protocol": "TCP", "other": {}}]}),
    json!({"f:list": {r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}}}}), false)]
#[case::elements_that_differ_in_a_key_only(
    json!({"list": [{"name": "a", "protocol": "UDP", "size": "1024Mi"}, {"name": "a", "protocol": "TCP"}]}),
    json!({"list": [{"name": "a", "protocol": "TCP"}, {"name": "a", "protocol": "UDP", "size": "1Gi"}, {"name": "b"}]}),
    json!({"f:list": {
        r#"k:{"name":"a","protocol":"TCP"}"#: {".": {}, "f:name": {}, "f:protocol": {}},
        r#"k:{"name":"a","protocol":"UDP"}"#: {".": {}, "f:name": {}, "f:protocol": {}},
    }}), true)]
#[case::set_lengthened(
    json!({"set": ["a"]}), json!({"set": ["b", "a"]}), json!({"f:set": {r#"v:"a""#: {}}}), true)]
#[case::element_of_a_set_removed(
    json!({"set": ["a", "b"]}), json!({"set": ["b"]}), json!({"f:set": {r#"v:"b""#: {}}}), false)]
#[case::atomic_map_changed_by_a_webhook(
    json!({"atomic": {"other": "1"}}), json!({"atomic": {"other": "2"}}), json!({"f:atomic": {}}), true)]
#[case::referred_atomic_map(
    json!({"referred": {"text": "1"}}), json!({"referred": {"text": "2"}}), json!({"f:referred": {}}), true)]
#[case::atomic_map_made_granular(
    json!({"overridden": {"text": "1"}}), json!({"overridden": {"text": "2"}}), json!({"f:overridden": {}}), false)]
#[case::atomic_map_of_any_fields(
    json!({"openAtomic": {"a": "1"}}), json!({"openAtomic": {"a": "2"}}), json!({"f:openAtomic": {}}), true)]
#[case::null_in_an_atomic_map_of_any_fields(
    json!({"openAtomic": {"a": null}}), json!({"openAtomic": {"a": "2"}}), json!({}), false)]
#[case::atomic_map_changed_by_somebody(
    json!({"atomic": {"other": "1"}}), json!({"atomic": {"other": "2"}}), json!({}), false)]
// What is left of the record of a value of a map looks like that of an atomic map.
#[case::only_field_of_a_map_changed(
    json!({"maps": {"m": {"text": "1"}}}), json!({"maps": {"m": {"text": "2"}}}), json!({"f:maps": {"f:m": {}}}), false)]
#[case::only_field_in_an_open_object_changed(
    json!({"open": {"m": {"text": "1"}}}), json!({"open": {"m": {"text": "2"}}}), json!({"f:open": {"f:m": {}}}), false)]
fn what_the_handler_applied_stands_until_somebody_else_changes_it(
    #[case] desired: Value,
    #[case] observed: Value,
    #[case] applied: Value,
    #[case] stands: bool,
) {
    let observed = object(&observed, digest(), Some(applied));
    assert_eq!(stands_in(&desired, &types(), &observed), stands);
}

#[test]
fn the_record_counts_only_for_the_state_that_was_applied() {
    let applied = json!({"f:a": {}});
    let observed = object(&json!({"a": 2}), Digest::of(b"another"), Some(applied));
    assert!(!stands_in(&json!({"a": 1}), &types(), &observed));
}

#[test]
fn a_long_list_is_compared_in_its_order_only() {
    let elements = |count| (0..count).map(|i| json!(i.to_string())).collect::<Vec<_>>();
    let records = elements(MOST_LOOKED_UP).into_iter();
    let record: Map<_, _> = records.map(|e| (format!("v:{e}"), json!({}))).collect();
    let observed = object(
        &json!({"set": elements(MOST_LOOKED_UP + 1)}),
        digest(),
        Some(json!({"f:set": record})),
    );
    let desired = elements(MOST_LOOKED_UP);
    assert!(!stands_in(&json!({"set": desired}), &types(), &observed));
}

#[test]
fn a_projection_leaves_out_what_others_wrote() {
    let desired = json!({"spec": {"a": 1, "list": [1], "gone": 1}});
    let observed = json!({"spec": {"a": 2, "list": [1, 2], "b": 3}, "status": {}});
    assert_eq!(
        projection(&desired, &observed),
        json!({"spec": {"a": 2, "list": [1, 2], "gone": null}})
    );
}
