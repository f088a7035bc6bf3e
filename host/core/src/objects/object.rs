use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::applied_fields::AppliedFields;
use super::key::Key;
use super::kind::Kind;
use super::meta::{Meta, Writer, version_number};
use super::parsed_size::parsed_size;
use crate::{HANDLER_LABEL, PARENT_UID_LABEL, PAUSED_ANNOTATION};

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
    content: u64,
    status: u64,
    applied_fields: Option<AppliedFields>,
}

/// What each object takes in a cache beside its texts, in bytes: its names in several indexes, and what the allocator adds.
pub const OBJECT_MEMORY: usize = 1024;

/// The finalizer by which the API server marks a deletion in the foreground.
const FOREGROUND_DELETION: &str = "foregroundDeletion";

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
        let (mut content, mut status) = (DefaultHasher::new(), DefaultHasher::new());
        let mut managed_fields = None;
        for (name, value) in fields {
            match name.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => {
                    let metadata = Metadata::parse(value, &mut content)?;
                    managed_fields = metadata.managed_fields;
                    meta = serde_json::from_str(&metadata.kept)?;
                    meta.writers = metadata.managed_fields.map(writers_in).unwrap_or_default();
                    push_field(&mut kept, &name, &metadata.kept);
                }
                "status" => {
                    value.get().hash(&mut status);
                    push_field(&mut kept, &name, value.get());
                }
                _ => {
                    (&name, value.get()).hash(&mut content);
                    push_field(&mut kept, &name, value.get());
                }
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
            content: content.finish(),
            status: status.finish(),
            applied_fields,
        })
    }

    /// A hash of what a handler sees of the object, but for its status and the numbers that change with a write:
    /// resource version and generation.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        self.content
    }

    /// A hash of the object's status.
    #[must_use]
    pub fn status_hash(&self) -> u64 {
        self.status
    }

    /// The object as JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The memory that the object takes in a cache, about, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let record = self.applied_fields.as_ref().map_or(0, AppliedFields::len);
        let pairs = self.meta.labels.bytes() + self.meta.annotations.bytes();
        OBJECT_MEMORY + self.text.len() + record + pairs
    }

    /// The record of the fields that the handler of this child applied and nobody else has changed since then.
    pub(super) fn applied_fields(&self) -> Option<Value> {
        self.applied_fields.as_ref().and_then(AppliedFields::tree)
    }

    /// Whether somebody paused it, if it is a parent.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.meta.annotations.get(PAUSED_ANNOTATION) == Some("true")
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

    /// The bytes of memory that the whole object takes once it is parsed, about; None if that is more than `most`.
    #[must_use]
    pub fn parsed_memory(&self, most: usize) -> Option<usize> {
        parsed_size(&self.text, most).ok()
    }

    /// The bytes of memory that the status takes once it is parsed, about; None if that is more than `most`.
    #[must_use]
    pub fn status_memory(&self, most: usize) -> Option<usize> {
        #[derive(Deserialize)]
        struct HasStatus<'a> {
            #[serde(default, borrow)]
            status: Option<&'a RawValue>,
        }
        let object = serde_json::from_str::<HasStatus<'_>>(&self.text).ok()?;
        match object.status {
            None => Some(0),
            Some(status) => parsed_size(status.get(), most).ok(),
        }
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

    /// Whether it is being deleted in the foreground: the garbage collector deletes all that it owns, also what is made
    /// meanwhile, and only then the object itself.
    #[must_use]
    pub fn is_deleting_in_foreground(&self) -> bool {
        let mut finalizers = self.meta.finalizers.iter();
        self.is_deleting() && finalizers.any(|it| it == FOREGROUND_DELETION)
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
}

/// `metadata` as it is kept.
struct Metadata<'a> {
    /// The text without `managedFields`.
    kept: String,
    managed_fields: Option<&'a RawValue>,
}

impl<'a> Metadata<'a> {
    /// Reads `metadata`, and adds what is kept to the hash, but for resource version and generation.
    fn parse(
        metadata: &'a RawValue,
        content: &mut DefaultHasher,
    ) -> Result<Self, serde_json::Error> {
        let ObjectFields(fields) = serde_json::from_str(metadata.get())?;
        let mut kept = String::from("{");
        let mut managed_fields = None;
        for (name, value) in fields {
            if name == "managedFields" {
                managed_fields = Some(value);
                continue;
            }
            if name != "resourceVersion" && name != "generation" {
                (&name, value.get()).hash(content);
            }
            if kept.len() > 1 {
                kept.push(',');
            }
            kept.push_str(&quoted(&name));
            kept.push(':');
            kept.push_str(value.get());
        }
        kept.push('}');
        Ok(Self {
            kept,
            managed_fields,
        })
    }
}

/// The entries of `managedFields` in the order of their times, which are RFC 3339 in UTC. A file for `render` may hold
/// anything there: what cannot be read names no writers.
fn writers_in(managed_fields: &RawValue) -> Box<[Writer]> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Entry {
        manager: Option<Box<str>>,
        operation: Option<String>,
        subresource: Option<String>,
        time: Option<String>,
    }
    let entries: Option<Vec<Entry>> =
        serde_json::from_str(managed_fields.get()).unwrap_or_default();
    let mut entries = entries.unwrap_or_default();
    entries.sort_by(|one, other| one.time.cmp(&other.time));
    let writers = entries.into_iter().map(|entry| Writer {
        manager: entry.manager.unwrap_or_default(),
        is_apply: entry.operation.as_deref() == Some("Apply"),
        is_subresource: entry.subresource.is_some_and(|name| !name.is_empty()),
    });
    writers.collect()
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

    #[rstest]
    #[case::another_version(r#""resourceVersion":"2","uid":"u""#, r#""a":1"#, "{}", true, true)]
    #[case::another_status(
        r#""resourceVersion":"1","uid":"u""#,
        r#""a":1"#,
        r#"{"x":1}"#,
        true,
        false
    )]
    #[case::another_spec(r#""resourceVersion":"1","uid":"u""#, r#""a":2"#, "{}", false, true)]
    #[case::other_metadata(r#""resourceVersion":"1","uid":"v""#, r#""a":1"#, "{}", false, true)]
    #[case::managed_fields_only(
        r#""resourceVersion":"1","uid":"u","managedFields":[]"#,
        r#""a":1"#,
        "{}",
        true,
        true
    )]
    fn what_a_handler_sees_is_told_apart_by_content_and_status(
        #[case] metadata: &str,
        #[case] spec: &str,
        #[case] status: &str,
        #[case] has_same_content: bool,
        #[case] has_same_status: bool,
    ) {
        let object = |metadata: &str, spec: &str, status: &str| {
            pvc(&format!(
                r#"{{"metadata":{{"name":"a",{metadata}}},"spec":{{{spec}}},"status":{status}}}"#
            ))
        };
        let known = object(r#""resourceVersion":"1","uid":"u""#, r#""a":1"#, "{}");
        let other = object(metadata, spec, status);
        assert_eq!(
            known.content_hash() == other.content_hash(),
            has_same_content
        );
        assert_eq!(known.status_hash() == other.status_hash(), has_same_status);
    }

    #[test]
    fn the_writers_are_known_in_the_order_of_their_times() {
        let object = pvc(r#"{"metadata":{"name":"a","managedFields":[
                {"manager":"kubectl","operation":"Update","time":"2026-01-01T00:00:02Z"},
                {"manager":"kubelet","operation":"Update","subresource":"status","time":"2026-01-01T00:00:03Z"},
                {"manager":"us","operation":"Apply","time":"2026-01-01T00:00:01Z"}]}}"#);
        assert!(object.meta.is_applied_by("us"));
        assert!(!object.meta.is_applied_by("kubectl"));
        assert_eq!(object.meta.last_writer_but("us"), Some("kubectl"));
    }

    #[rstest]
    #[case::null("null")]
    #[case::no_list("{}")]
    #[case::odd_entries("[{\"manager\":1}]")]
    fn managed_fields_that_cannot_be_read_name_nobody(#[case] fields: &str) {
        let object = pvc(&format!(
            r#"{{"metadata":{{"name":"a","managedFields":{fields}}}}}"#
        ));
        assert!(object.meta.writers.is_empty());
    }
}
