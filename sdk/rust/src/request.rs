use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::Kind;

/// The input of one call: the parent, its observed children, related objects, the handler's config and the time.
#[derive(Debug)]
pub struct Request<P, C> {
    /// The object to decide for.
    pub parent: P,
    /// The children of this parent that exist now. They are only what this handler's earlier responses led to. A child
    /// being deleted is included.
    pub children: ObservedObjects,
    /// The objects that answer the queries of [`Handler::related`](crate::Handler::related).
    pub related: RelatedObjects,
    /// The handler's config.
    pub config: C,
    /// The time of day, rounded down to the granularity that the handler [describes](crate::Description::clock). It is None
    /// if the handler describes none.
    pub now: Option<SystemTime>,
}

/// The answers to a handler's queries.
#[derive(Debug, Default)]
pub struct RelatedObjects {
    answers: Vec<ObservedObjects>,
    none: ObservedObjects,
}

impl RelatedObjects {
    pub(crate) fn from_texts(answers: Vec<Vec<String>>) -> Self {
        Self {
            answers: answers
                .into_iter()
                .map(ObservedObjects::from_texts)
                .collect(),
            none: ObservedObjects::default(),
        }
    }

    /// The objects that answer the query of this index, the first of which is 0. There are none if there is no such query.
    #[must_use]
    pub fn answer(&self, query: usize) -> &ObservedObjects {
        self.answers.get(query).unwrap_or(&self.none)
    }

    /// The objects of this kind in all answers. One that answers two queries is there twice.
    pub fn of_kind<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = &'a Value> {
        self.answers.iter().flat_map(|answer| answer.of_kind(kind))
    }

    /// The first object of this kind and name, in whatever answer and namespace.
    #[must_use]
    pub fn get(&self, kind: &Kind, name: &str) -> Option<&Value> {
        self.answers
            .iter()
            .find_map(|answer| answer.get(kind, name))
    }
}

/// Objects that exist, as JSON: children ordered by apiVersion, kind, namespace and name, or the answer to a query ordered
/// by namespace and name.
///
/// They are parsed when the handler first reads them, so a handler that decides from its parent alone
/// does not pay for them.
#[derive(Debug, Default)]
pub struct ObservedObjects {
    texts: Vec<String>,
    objects: OnceCell<Vec<Value>>,
}

impl ObservedObjects {
    pub(crate) fn from_texts(texts: Vec<String>) -> Self {
        Self {
            texts,
            objects: OnceCell::new(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The JSON text of each, as the host passed it.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// All of them.
    ///
    /// # Panics
    ///
    /// When one is not JSON, which the host's contract rules out.
    pub fn iter(&self) -> std::slice::Iter<'_, Value> {
        self.objects
            .get_or_init(|| self.texts.iter().map(|text| parse(text)).collect())
            .iter()
    }

    /// Those of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = &'a Value> {
        self.iter().filter(|object| kind.is_of(object))
    }

    /// The one of this kind and name, if it exists.
    #[must_use]
    pub fn get(&self, kind: &Kind, name: &str) -> Option<&Value> {
        self.iter()
            .find(|object| kind.is_of(object) && object["metadata"]["name"] == name)
    }
}

impl<'a> IntoIterator for &'a ObservedObjects {
    type Item = &'a Value;
    type IntoIter = std::slice::Iter<'a, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| {
        panic!("the host passed an object that is not JSON: {error}: {text}")
    })
}

/// The part of an object's `metadata` that handlers read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The object's name.
    pub name: String,
    /// The object's namespace. It is None for a cluster-scoped object.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The object's identity, unique in space and time. It is None for an object that no API server stored.
    #[serde(default)]
    pub uid: Option<String>,
    /// The number of changes of the object's spec.
    #[serde(default)]
    pub generation: Option<i64>,
    /// The object's labels.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub labels: BTreeMap<String, String>,
    /// The object's annotations.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The time of its creation, in RFC 3339.
    #[serde(default)]
    pub creation_timestamp: Option<String>,
    /// The time when its deletion was requested, in RFC 3339.
    #[serde(default)]
    pub deletion_timestamp: Option<String>,
}

impl Metadata {
    /// Whether its deletion was requested. A handler sees such a parent only if it
    /// [asks for a finalizer](crate::Description::finalizer).
    #[must_use]
    pub fn is_being_deleted(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// In YAML, `labels:` with nothing behind it is null, and is meant as no labels.
fn null_as_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn children() -> ObservedObjects {
        ObservedObjects::from_texts(vec![
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}).to_string(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}).to_string(),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}).to_string(),
        ])
    }

    #[test]
    fn children_are_found_by_kind_and_name() {
        let children = children();
        let kind = Kind::new("v1", "ConfigMap");
        assert_eq!(children.of_kind(&kind).count(), 2);
        assert_eq!(children.get(&kind, "b"), children.iter().nth(1));
        assert_eq!(children.get(&Kind::new("v1", "Secret"), "b"), None);
    }

    #[test]
    fn related_objects_are_found_by_their_query_or_their_name() {
        let texts = |names: &[&str]| -> Vec<String> {
            let object = |name: &&str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
            names.iter().map(|name| object(name).to_string()).collect()
        };
        let related = RelatedObjects::from_texts(vec![texts(&[]), texts(&["a", "b"])]);
        assert!(related.answer(0).is_empty());
        assert_eq!(related.answer(1).len(), 2);
        assert!(related.answer(2).is_empty());
        let kind = Kind::new("v1", "Secret");
        assert_eq!(related.get(&kind, "b"), related.of_kind(&kind).nth(1));
    }

    #[test]
    fn children_that_are_not_read_are_not_parsed() {
        let children = ObservedObjects::from_texts(vec!["not JSON".to_owned()]);
        assert_eq!(children.len(), 1);
        assert!(children.objects.get().is_none());
    }

    #[test]
    fn metadata_needs_a_name_and_nothing_else() {
        let metadata: Metadata =
            serde_json::from_value(json!({"name": "a", "labels": null, "uid": "u"})).unwrap();
        assert_eq!(
            metadata,
            Metadata {
                name: "a".into(),
                uid: Some("u".into()),
                ..Metadata::default()
            }
        );
        assert!(!metadata.is_being_deleted());
        assert!(serde_json::from_value::<Metadata>(json!({})).is_err());
    }
}
