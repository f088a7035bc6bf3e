use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// How many dropped fields are told apart.
const MOST_DROPPED: usize = 32;

/// The path of a field in a status. Its text is such as `handler` or `conditions[].observedGeneration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(Vec<PathStep>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathStep {
    /// A field of an object. Its name may have dots.
    Field(String),
    /// Every element of a list.
    Elements,
}

impl FieldPath {
    /// The path of a field of the status itself.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self::default().then(PathStep::Field(name.to_owned()))
    }

    fn then(&self, step: PathStep) -> Self {
        let Self(steps) = self;
        Self(steps.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Field(name) if index == 0 => f.write_str(name)?,
                PathStep::Field(name) => write!(f, ".{name}")?,
                PathStep::Elements => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

/// The fields of a merge patch that are not in the answer: the schema of the kind drops them. They are at most 32.
#[must_use]
pub fn dropped_fields(patch: &Value, answer: &Value) -> BTreeSet<FieldPath> {
    let mut dropped = BTreeSet::new();
    find_dropped(patch, answer, &FieldPath::default(), &mut dropped);
    dropped
}

fn find_dropped(
    patch: &Value,
    answer: &Value,
    path: &FieldPath,
    dropped: &mut BTreeSet<FieldPath>,
) {
    match (patch, answer) {
        (Value::Object(patch), answer) => {
            for (name, field) in patch.iter().filter(|(_, field)| !field.is_null()) {
                let below = path.then(PathStep::Field(name.clone()));
                match answer.get(name) {
                    Some(kept) => find_dropped(field, kept, &below, dropped),
                    None if dropped.len() < MOST_DROPPED => {
                        dropped.insert(below);
                    }
                    None => {}
                }
            }
        }
        (Value::Array(patch), Value::Array(answer)) => {
            let below = path.then(PathStep::Elements);
            for (element, kept) in patch.iter().zip(answer) {
                find_dropped(element, kept, &below, dropped);
            }
        }
        _ => {}
    }
}

/// A merge patch without the fields at these paths.
pub(super) fn without(mut patch: Value, dropped: &BTreeSet<FieldPath>) -> Value {
    for FieldPath(steps) in dropped {
        remove(&mut patch, steps);
    }
    patch
}

fn remove(value: &mut Value, path: &[PathStep]) {
    match path {
        [] => {}
        [PathStep::Field(name)] => {
            if let Some(fields) = value.as_object_mut() {
                fields.remove(name);
            }
        }
        [PathStep::Field(name), rest @ ..] => {
            if let Some(below) = value.get_mut(name) {
                remove(below, rest);
            }
        }
        [PathStep::Elements, rest @ ..] => {
            for element in value.as_array_mut().into_iter().flatten() {
                remove(element, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::all_kept(json!({"handler": {"name": "evc"}, "conditions": [{"type": "Ready", "reason": "R"}]}), &[])]
    #[case::no_status(Value::Null, &["conditions", "handler"])]
    #[case::no_handler(json!({"conditions": [{"type": "Ready", "reason": "R"}]}), &["handler"])]
    #[case::a_field_of_conditions(
        json!({"handler": {"name": "evc"}, "conditions": [{"type": "Ready"}]}), &["conditions[].reason"])]
    fn what_a_schema_drops_is_found_and_not_written_again(
        #[case] answer: Value,
        #[case] expected: &[&str],
    ) {
        let patch = json!({
            "handler": {"name": "evc"}, "conditions": [{"type": "Ready", "reason": "R"}], "gone": null,
        });
        let dropped = dropped_fields(&patch, &answer);
        let told: Vec<_> = dropped.iter().map(FieldPath::to_string).collect();
        assert_eq!(told, expected);
        let patch = without(patch, &dropped);
        assert!(dropped_fields(&patch, &answer).is_empty());
    }

    #[test]
    fn a_field_is_found_whatever_its_name() {
        let patch = json!({"a.b": {"c[]": [{"": 1}]}, "a": {"b": 1}});
        let answer = json!({"a.b": {"c[]": [{}]}, "a": {"b": 1}});
        let dropped = dropped_fields(&patch, &answer);
        assert_eq!(without(patch, &dropped), answer);
    }
}
