use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::applied_fields::AppliedFields;
use super::key::Key;
use super::kind::Kind;
use super::meta::{Meta, version_number};
use crate::{HANDLER_LABEL, PARENT_UID_LABEL};

/// An object as it was received: typed metadata beside the JSON text without `managedFields`, of which only the record of
/// its own handler is kept.
///
/// Handlers get the text. It always begins with `apiVersion` and `kind`, which the API server leaves out of the items
/// of a list, so that an object has the same text whether it was listed or watched.
#[derive(Clone, Debug)]
pub struct Object {
    /// Typed metadata.
    pub meta: Meta,
    text: Box<str>,
    applied_fields: Option<AppliedFields>,
}

/// Why a text is not an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The text is no JSON object, or its metadata is none.
    #[error("not a Kubernetes object in JSON ({0})")]
    Json(#[from] serde_json::Error),
    /// The object has no name.
    #[error("the object has no metadata.name")]
    NoName,
}

impl Object {
    /// Reads an object of a kind.
    ///
    /// # Errors
    ///
    /// When the text is no JSON object or has no `metadata.name`.
    pub fn parse(kind: &Kind, text: &str) -> Result<Self, ObjectError> {
        let ObjectFields(fields) = serde_json::from_str(text)?;
        let mut kept = String::with_capacity(text.len());
        kept.push_str("{\"apiVersion\":");
        kept.push_str(&quoted(&kind.api_version));
        kept.push_str(",\"kind\":");
        kept.push_str(&quoted(&kind.kind));
        let mut meta = Meta::default();
        let mut managed_fields = None;
        for (name, value) in fields {
            match name.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => {
                    let stripped;
                    (stripped, managed_fields) = split_managed_fields(value)?;
                    meta = serde_json::from_str(&stripped)?;
                    push_field(&mut kept, &name, &stripped);
                }
                _ => push_field(&mut kept, &name, value.get()),
            }
        }
        kept.push('}');
        if meta.name.is_empty() {
            return Err(ObjectError::NoName);
        }
        let handler = meta.labels.get(HANDLER_LABEL);
        let applied_fields = managed_fields
            .zip(handler)
            .and_then(|(fields, handler)| AppliedFields::read(fields, handler));
        Ok(Self {
            meta,
            text: kept.into_boxed_str(),
            applied_fields,
        })
    }

    /// The object as JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The record of the fields that the handler of this child applied and nobody else has changed since then.
    pub(super) fn applied_fields(&self) -> Option<Value> {
        self.applied_fields.as_ref().and_then(AppliedFields::tree)
    }

    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(self.meta.namespace.as_deref(), &self.meta.name)
    }

    /// The status in the text; null if there is none.
    #[must_use]
    pub fn status(&self) -> Value {
        #[derive(Deserialize)]
        struct HasStatus {
            #[serde(default)]
            status: Value,
        }
        // The text was read once already.
        serde_json::from_str::<HasStatus>(&self.text).map_or(Value::Null, |object| object.status)
    }

    /// The resource version as a number, to compare versions of objects of one kind.
    #[must_use]
    pub fn version(&self) -> u128 {
        version_number(&self.meta.resource_version)
    }

    /// Whether deletion was asked for.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    /// The uids of all objects that this one could be a child of, by label and by owner reference. If one of them was
    /// edited by hand, the other still leads to the parent.
    pub fn parent_uids(&self) -> impl Iterator<Item = &str> {
        let owners = self.meta.owners.iter().map(|owner| owner.uid.as_str());
        self.meta
            .labels
            .get(PARENT_UID_LABEL)
            .into_iter()
            .chain(owners)
    }

    /// Whether this object is the handler's child of the parent.
    ///
    /// An owner reference or the uid label is enough: if the other was removed by hand, it is restored. An object with
    /// the label of another handler is that handler's child, whoever its owner is.
    #[must_use]
    pub fn is_child_of(&self, parent: &Object, handler: &str) -> bool {
        let labels = &self.meta.labels;
        let is_owned = self
            .meta
            .owners
            .iter()
            .any(|owner| owner.uid == parent.meta.uid);
        match labels.get(HANDLER_LABEL) {
            Some(label) if label == handler => {
                is_owned || labels.get(PARENT_UID_LABEL) == Some(parent.meta.uid.as_str())
            }
            Some(_) => false,
            None => is_owned,
        }
    }
}

/// The text of the metadata without `managedFields`, and those.
fn split_managed_fields(
    metadata: &RawValue,
) -> Result<(String, Option<&RawValue>), serde_json::Error> {
    let ObjectFields(fields) = serde_json::from_str(metadata.get())?;
    let mut kept = String::from("{");
    let mut managed_fields = None;
    for (name, value) in fields {
        if name == "managedFields" {
            managed_fields = Some(value);
            continue;
        }
        if kept.len() > 1 {
            kept.push(',');
        }
        kept.push_str(&quoted(&name));
        kept.push(':');
        kept.push_str(value.get());
    }
    kept.push('}');
    Ok((kept, managed_fields))
}

fn push_field(text: &mut String, name: &str, value: &str) {
    text.push(',');
    text.push_str(&quoted(name));
    text.push(':');
    text.push_str(value);
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The fields of a JSON object in their order. The values are not parsed.
struct ObjectFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for ObjectFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = ObjectFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(ObjectFields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn pvc(text: &str) -> Object {
        Object::parse(&Kind::new("v1", "PersistentVolumeClaim").unwrap(), text).unwrap()
    }

    #[test]
    fn the_text_is_kept_as_received_less_managed_fields() {
        let object = pvc(
            r#"{"metadata":{"name":"a","managedFields":[{"manager":"x"}],"uid":"u"},"spec":{"z":1,"a":1.50}}"#,
        );
        assert_eq!(
            object.text(),
            r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"a","uid":"u"},"spec":{"z":1,"a":1.50}}"#
        );
        assert_eq!(object.meta.uid, "u");
    }

    #[test]
    fn a_list_item_and_a_watched_object_read_the_same() {
        let listed = pvc(r#"{"metadata":{"name":"a"},"spec":{}}"#);
        let watched = pvc(
            r#"{"kind":"PersistentVolumeClaim","apiVersion":"v1","metadata":{"name":"a"},"spec":{}}"#,
        );
        assert_eq!(listed.text(), watched.text());
    }

    #[rstest]
    #[case::a_list("[]")]
    #[case::cut_off("{\"metadata\":")]
    #[case::nameless("{\"metadata\":{}}")]
    #[case::metadata_is_text("{\"metadata\":\"a\"}")]
    fn what_is_no_object_is_refused(#[case] text: &str) {
        assert!(Object::parse(&Kind::new("v1", "ConfigMap").unwrap(), text).is_err());
    }

    const OWNED: &str = r#""ownerReferences":[{"uid":"u1"}]"#;
    const OTHERS: &str = r#""ownerReferences":[{"uid":"u2"}]"#;
    const OURS: &str =
        r#""labels":{"handler-host.dev/handler":"evc","handler-host.dev/parent-uid":"u1"}"#;
    const OTHER_HANDLERS: &str =
        r#""labels":{"handler-host.dev/handler":"b","handler-host.dev/parent-uid":"u1"}"#;

    #[rstest]
    #[case::nothing(&[], false)]
    #[case::owner_only(&[OWNED], true)]
    #[case::labels_only(&[OURS], true)]
    #[case::both(&[OWNED, OURS], true)]
    #[case::another_owner(&[OTHERS], false)]
    #[case::another_handler_of_the_same_parent(&[OWNED, OTHER_HANDLERS], false)]
    fn a_child_is_known_by_owner_or_labels(#[case] parts: &[&str], #[case] is_child: bool) {
        let parent = pvc(r#"{"metadata":{"name":"p","uid":"u1"}}"#);
        let fields = parts
            .iter()
            .fold(String::new(), |all, part| all + "," + part);
        let child = pvc(&format!(r#"{{"metadata":{{"name":"c"{fields}}}}}"#));
        assert_eq!(child.is_child_of(&parent, "evc"), is_child);
    }
}
