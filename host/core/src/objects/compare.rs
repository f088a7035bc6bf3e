use serde_json::{Map, Value};

use super::quantity::canonical;

/// Whether every desired field has its value in the observed object.
///
/// Fields that are not desired may have any value. Lists must have equal length and order, and are compared element by
/// element. A quantity in the canonical form of the API server counts as equal.
#[must_use]
pub fn has_desired_values(desired: &Value, observed: &Value) -> bool {
    match (desired, observed) {
        (Value::Object(desired), Value::Object(observed)) => desired
            .iter()
            .all(|(name, field)| field_stands(field, observed.get(name))),
        (Value::Array(desired), Value::Array(observed)) => {
            desired.len() == observed.len()
                && desired
                    .iter()
                    .zip(observed)
                    .all(|(d, o)| has_desired_values(d, o))
        }
        (Value::String(written), Value::String(read)) => {
            written == read || canonical(written).is_some_and(|form| form == *read)
        }
        (Value::Number(written), Value::String(read)) => {
            canonical(&written.to_string()).is_some_and(|form| form == *read)
        }
        (Value::Number(written), Value::Number(read)) => {
            written == read || written.as_f64() == read.as_f64()
        }
        _ => desired == observed,
    }
}

/// The API server drops nulls, empty objects and empty lists in many places, so a missing field equals these.
fn field_stands(desired: &Value, observed: Option<&Value>) -> bool {
    match (desired, observed) {
        (_, Some(observed)) => has_desired_values(desired, observed),
        (Value::Null, None) => true,
        (Value::Object(fields), None) => fields.values().all(|field| field_stands(field, None)),
        (Value::Array(elements), None) => elements.is_empty(),
        (Value::Bool(_) | Value::Number(_) | Value::String(_), None) => false,
    }
}

/// The observed values of the desired fields: what the API server made of what was applied.
#[must_use]
pub fn projection(desired: &Value, observed: &Value) -> Value {
    match (desired, observed) {
        (Value::Object(desired), Value::Object(observed)) => {
            let project = |(name, field): (&String, &Value)| {
                let observed = observed.get(name).unwrap_or(&Value::Null);
                (name.clone(), projection(field, observed))
            };
            Value::Object(desired.iter().map(project).collect::<Map<_, _>>())
        }
        (_, observed) => observed.clone(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::equal(json!({"a": 1}), json!({"a": 1}), true)]
    #[case::others_fields_beside(json!({"a": 1}), json!({"a": 1, "b": 2}), true)]
    #[case::changed(json!({"a": 1}), json!({"a": 2}), false)]
    #[case::gone(json!({"a": 1}), json!({}), false)]
    #[case::null_left_out(json!({"a": null}), json!({}), true)]
    #[case::empty_map_left_out(json!({"a": {}}), json!({}), true)]
    #[case::empty_list_left_out(json!({"a": []}), json!({}), true)]
    #[case::defaults_within_elements(json!([{"a": 1}]), json!([{"a": 1, "b": 2}]), true)]
    #[case::an_element_more(json!([1]), json!([1, 2]), false)]
    #[case::another_order(json!([1, 2]), json!([2, 1]), false)]
    #[case::canonical_quantity(json!("1024Mi"), json!("1Gi"), true)]
    #[case::number_as_quantity(json!(1000), json!("1k"), true)]
    #[case::another_quantity(json!("1024Mi"), json!("2Gi"), false)]
    #[case::not_the_canonical_form(json!("1Gi"), json!("1024Mi"), false)]
    #[case::float_for_integer(json!(1.0), json!(1), true)]
    #[case::another_type(json!("1"), json!(1), false)]
    fn desired_fields_stand_or_do_not(
        #[case] desired: Value,
        #[case] observed: Value,
        #[case] result: bool,
    ) {
        assert_eq!(has_desired_values(&desired, &observed), result);
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
}
