use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::HOST;

/// The fields that a handler applied and nobody else has changed or removed since then: what the API server keeps in
/// `metadata.managedFields` for the handler's field manager, as JSON text. It has the names of fields, no values, but for
/// the keys of list elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppliedFields(Box<str>);

/// An entry of `metadata.managedFields`.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    subresource: String,
    #[serde(borrow, rename = "fieldsV1")]
    fields: Option<&'a RawValue>,
}

impl AppliedFields {
    /// The record of a handler's field manager in `metadata.managedFields`; None if there is none.
    pub(super) fn read(managed_fields: &RawValue, handler: &str) -> Option<Self> {
        let entries: Vec<Entry<'_>> = serde_json::from_str(managed_fields.get()).ok()?;
        let manager = format!("{HOST}/{handler}");
        let entry = entries.into_iter().find(|entry| {
            entry.manager == manager && entry.operation == "Apply" && entry.subresource.is_empty()
        })?;
        Some(Self(entry.fields?.get().into()))
    }

    /// The length of its text in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The record as a tree.
    pub(super) fn tree(&self) -> Option<Value> {
        serde_json::from_str(&self.0).ok()
    }
}

/// What the record says of one place in an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Record<'a> {
    /// There is no record of this object, or it is of another desired state.
    Missing,
    /// The handler did not apply this place, or somebody else has changed or removed it.
    Lost,
    /// The handler applied this place, or places within it. The record of those within.
    Kept(&'a Map<String, Value>),
}

impl<'a> Record<'a> {
    pub(super) fn root(tree: Option<&'a Value>) -> Self {
        tree.and_then(Value::as_object)
            .map_or(Self::Missing, Self::Kept)
    }

    /// The record of a field of an object.
    pub(super) fn field(self, name: &str) -> Self {
        self.within(&format!("f:{name}"))
    }

    /// The record of an element of a set.
    pub(super) fn set_element(self, element: &Value) -> Self {
        self.within(&format!("v:{element}"))
    }

    /// The records of the elements of a list that have keys, each with its keys.
    pub(super) fn keyed_elements(self) -> Vec<(Map<String, Value>, Self)> {
        let Self::Kept(fields) = self else {
            return Vec::new();
        };
        let keyed = fields.iter().filter_map(|(name, record)| {
            let keys = serde_json::from_str(name.strip_prefix("k:")?).ok()?;
            Some((keys, Self::Kept(record.as_object()?)))
        });
        keyed.collect()
    }

    /// Whether the place was applied as a whole and is still as it was.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Kept(fields) if fields.is_empty())
    }

    pub(super) fn is_lost(self) -> bool {
        matches!(self, Self::Lost)
    }

    fn within(self, name: &str) -> Self {
        match self {
            Self::Missing => Self::Missing,
            Self::Lost => Self::Lost,
            Self::Kept(fields) => fields
                .get(name)
                .and_then(Value::as_object)
                .map_or(Self::Lost, Self::Kept),
        }
    }
}
