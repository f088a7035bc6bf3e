use serde_json::Value;

use super::object::Object;
use crate::APPLIED_ANNOTATION;

/// What would become of a child, without the fields that the API server keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It would be created.
    Create {
        /// The child as it would be.
        after: Value,
    },
    /// It would be changed.
    Update {
        /// The child as it is.
        before: Value,
        /// The child as it would be.
        after: Value,
    },
    /// It would be deleted.
    Delete {
        /// The child as it is.
        before: Value,
    },
}

impl Change {
    /// A child that would be created.
    #[must_use]
    pub fn creation(after: &Object) -> Self {
        let mut after = shown(after);
        // Each dry run gives other values, and the child will get none of them.
        drop_metadata(&mut after, &["creationTimestamp", "uid"]);
        drop_mark(&mut after);
        Self::Create { after }
    }

    /// A child that would be applied; None if it would stay as it is.
    ///
    /// The digest of what was applied is shown only where nothing else would change.
    #[must_use]
    pub fn update(before: &Object, after: &Object) -> Option<Self> {
        let marked = (shown(before), shown(after));
        let (mut before, mut after) = marked.clone();
        drop_mark(&mut before);
        drop_mark(&mut after);
        if before != after {
            return Some(Self::Update { before, after });
        }
        let (before, after) = marked;
        (before != after).then_some(Self::Update { before, after })
    }

    /// A child that would be deleted.
    #[must_use]
    pub fn deletion(before: &Object) -> Self {
        let mut before = shown(before);
        drop_mark(&mut before);
        Self::Delete { before }
    }

    /// The same change with nulls for the child, where only changes are counted: a preview of many parents would hold many.
    #[must_use]
    pub fn without_objects(&self) -> Self {
        let (before, after) = (Value::Null, Value::Null);
        match self {
            Self::Create { .. } => Self::Create { after },
            Self::Update { .. } => Self::Update { before, after },
            Self::Delete { .. } => Self::Delete { before },
        }
    }

    /// The child as it is; None if there is none.
    #[must_use]
    pub fn before(&self) -> Option<&Value> {
        match self {
            Self::Create { .. } => None,
            Self::Update { before, .. } | Self::Delete { before } => Some(before),
        }
    }

    /// The child as it would be; None if there would be none.
    #[must_use]
    pub fn after(&self) -> Option<&Value> {
        match self {
            Self::Create { after } | Self::Update { after, .. } => Some(after),
            Self::Delete { .. } => None,
        }
    }
}

/// Some fields in which two versions of an object differ, as paths such as `spec.replicas`: at most `limit`.
#[must_use]
pub fn changed_fields(before: &Object, after: &Object, limit: usize) -> Vec<String> {
    let (mut before, mut after) = (shown(before), shown(after));
    drop_mark(&mut before);
    drop_mark(&mut after);
    let mut fields = Vec::new();
    differences(&before, &after, String::new(), limit, &mut fields);
    fields
}

fn differences(
    before: &Value,
    after: &Value,
    path: String,
    limit: usize,
    fields: &mut Vec<String>,
) {
    if before == after || fields.len() >= limit {
        return;
    }
    let (Some(one), Some(other)) = (before.as_object(), after.as_object()) else {
        fields.push(path);
        return;
    };
    let added = other.keys().filter(|name| !one.contains_key(*name));
    for name in one.keys().chain(added) {
        let below = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let (before, after) = (before.get(name), after.get(name));
        let null = &Value::Null;
        differences(
            before.unwrap_or(null),
            after.unwrap_or(null),
            below,
            limit,
            fields,
        );
    }
}

/// The object without the fields that the API server and controllers keep. They change with every write, or even
/// without one.
fn shown(object: &Object) -> Value {
    // The text came from the API server and was read once already.
    let mut value: Value = serde_json::from_str(object.text()).unwrap_or_default();
    drop_metadata(&mut value, &["resourceVersion", "generation"]);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    value
}

fn drop_metadata(object: &mut Value, names: &[&str]) {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        metadata.retain(|name, _| !names.contains(&name.as_str()));
    }
}

/// Removes the annotation with the digest of what was applied, and the annotations if it was the only one.
fn drop_mark(object: &mut Value) {
    let annotations = object.pointer_mut("/metadata/annotations");
    let Some(annotations) = annotations.and_then(Value::as_object_mut) else {
        return;
    };
    annotations.remove(APPLIED_ANNOTATION);
    if annotations.is_empty() {
        drop_metadata(object, &["annotations"]);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::Kind;

    fn child(edit: impl Fn(&mut Value)) -> Object {
        let kind = Kind::new("v1", "ConfigMap").unwrap();
        let mut object = json!({
            "metadata": {
                "name": "a",
                "uid": "u",
                "creationTimestamp": "then",
                "resourceVersion": "7",
                "generation": 1,
                "annotations": {"handler-host.dev/applied": "sha256:0"},
            },
            "data": {"key": "a"},
            "status": {"phase": "Bound"},
        });
        edit(&mut object);
        Object::parse(&kind, &object.to_string()).unwrap()
    }

    #[rstest]
    #[case::nothing(|_: &mut Value| {})]
    #[case::version(|o: &mut Value| o["metadata"]["resourceVersion"] = json!("8"))]
    #[case::generation(|o: &mut Value| o["metadata"]["generation"] = json!(2))]
    #[case::managers(|o: &mut Value| o["metadata"]["managedFields"] = json!([{"manager": "x"}]))]
    #[case::status(|o: &mut Value| o["status"]["phase"] = json!("Lost"))]
    fn what_the_api_server_keeps_is_no_change(#[case] edit: fn(&mut Value)) {
        assert_eq!(Change::update(&child(|_| {}), &child(edit)), None);
    }

    #[test]
    fn a_change_is_shown_without_the_digest_of_what_was_applied() {
        let after = child(|o| {
            o["data"]["key"] = json!("b");
            o["metadata"]["annotations"]["handler-host.dev/applied"] = json!("sha256:1");
        });
        let shown = |key: &str| {
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "a", "uid": "u", "creationTimestamp": "then"},
                "data": {"key": key},
            })
        };
        let (before, after) = (child(|_| {}), after);
        let change = Change::update(&before, &after).unwrap();
        assert_eq!(change.before(), Some(&shown("a")));
        assert_eq!(change.after(), Some(&shown("b")));
    }

    #[test]
    fn the_digest_is_shown_where_nothing_else_changes() {
        let after = child(|o| {
            o["metadata"]["annotations"]["handler-host.dev/applied"] = json!("sha256:1");
        });
        let change = Change::update(&child(|_| {}), &after).unwrap();
        let digest = |shown: Option<&Value>| {
            shown.unwrap()["metadata"]["annotations"][APPLIED_ANNOTATION].clone()
        };
        assert_eq!(digest(change.before()), "sha256:0");
        assert_eq!(digest(change.after()), "sha256:1");
    }

    #[test]
    fn a_made_child_is_shown_without_what_only_the_trial_gave_it() {
        let change = Change::creation(&child(|o| {
            o["metadata"]["annotations"]["theirs"] = json!("kept");
        }));
        assert_eq!(change.before(), None);
        assert_eq!(
            change.after().unwrap()["metadata"],
            json!({"name": "a", "annotations": {"theirs": "kept"}})
        );
    }

    #[test]
    fn a_deleted_child_goes_whole() {
        let change = Change::deletion(&child(|_| {}));
        assert_eq!(change.after(), None);
        assert_eq!(change.before().unwrap()["metadata"]["uid"], "u");
    }
}
