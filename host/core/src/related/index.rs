use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::query::{GrantedQuery, Selection};
use crate::{Key, Kind, Object};

/// Which parents depend on an object, found without a look at the others.
#[derive(Debug, Default)]
pub struct QueryIndex {
    queries: HashMap<Key, Arc<[GrantedQuery]>>,
    parents: HashMap<Entry, HashSet<Key>>,
    /// The bytes that all of this takes, about.
    memory: usize,
}

/// What an object has if a query asks for it: each query has an entry for each value that decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    kind: Kind,
    namespace: Option<Arc<str>>,
    what: What,
}

/// What an entry takes beside its texts, in bytes: the kind's texts, a place in two tables, and what the allocator adds.
const ENTRY: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum What {
    Name(Box<str>),
    Label(Box<str>, Box<str>),
    Anything,
}

impl QueryIndex {
    /// The queries of a parent are these from now on.
    pub fn set(&mut self, parent: &Key, queries: &Arc<[GrantedQuery]>) {
        if self.queries.get(parent).is_some_and(|it| it == queries) {
            return;
        }
        self.remove(parent);
        for entry in queries.iter().flat_map(entries) {
            self.parents
                .entry(entry)
                .or_default()
                .insert(parent.clone());
        }
        if !queries.is_empty() {
            self.memory += memory_of(queries);
            self.queries.insert(parent.clone(), queries.clone());
        }
    }

    /// The bytes that it takes, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The parent has no queries any more.
    pub fn remove(&mut self, parent: &Key) {
        let Some(queries) = self.queries.remove(parent) else {
            return;
        };
        self.memory -= memory_of(&queries);
        for entry in queries.iter().flat_map(entries) {
            if let Some(parents) = self.parents.get_mut(&entry) {
                parents.remove(parent);
                if parents.is_empty() {
                    self.parents.remove(&entry);
                }
            }
        }
    }

    /// The parents that have a query which asks for the object.
    #[must_use]
    pub fn parents_of(&self, kind: &Kind, object: &Object) -> HashSet<Key> {
        let meta = &object.meta;
        let mut found = HashSet::new();
        let mut places = vec![None];
        places.extend(meta.namespace.as_deref().map(|it| Some(Arc::from(it))));
        let labels = meta.labels.iter();
        let what: Vec<_> = labels
            .map(|(key, value)| What::Label(key.into(), value.into()))
            .chain([What::Name(meta.name.as_str().into()), What::Anything])
            .collect();
        for namespace in places {
            for what in &what {
                let entry = Entry {
                    kind: kind.clone(),
                    namespace: namespace.clone(),
                    what: what.clone(),
                };
                let parents = self.parents.get(&entry).into_iter().flatten();
                let asks = |parent: &&Key| {
                    let mut queries = self
                        .queries
                        .get(*parent)
                        .into_iter()
                        .flat_map(|it| it.iter());
                    queries.any(|query| query.kind == *kind && query.matches(object))
                };
                found.extend(parents.filter(asks).cloned());
            }
        }
        found
    }
}

/// What the queries of a parent take, about: themselves, and their entries, each of which names the parent.
fn memory_of(queries: &[GrantedQuery]) -> usize {
    let queries = queries.iter();
    let of_each = queries.map(|query| match &query.selection {
        Selection::Name(name) => ENTRY + name.len(),
        Selection::All => ENTRY,
        Selection::Labels(labels) => {
            let values = labels.decisive().map_or(1, |(_, values)| values.len());
            labels.memory() + values * ENTRY
        }
    });
    of_each.sum()
}

fn entries(query: &GrantedQuery) -> Vec<Entry> {
    let entry = |what| Entry {
        kind: query.kind.clone(),
        namespace: query.namespace.clone(),
        what,
    };
    match &query.selection {
        Selection::Name(name) => vec![entry(What::Name(name.as_str().into()))],
        Selection::All => vec![entry(What::Anything)],
        Selection::Labels(labels) => match labels.decisive() {
            Some((key, values)) => values
                .iter()
                .map(|value| entry(What::Label(key.into(), value.as_str().into())))
                .collect(),
            None => vec![entry(What::Anything)],
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{LabelSelector, Operator, Requirement};

    fn kind() -> Kind {
        Kind::new("v1", "Secret").unwrap()
    }

    fn object(namespace: &str, name: &str, labels: &[(String, String)]) -> Object {
        let labels: HashMap<_, _> = labels.iter().cloned().collect();
        let object = json!({"metadata": {"name": name, "namespace": namespace, "labels": labels}});
        Object::parse(&kind(), &object.to_string()).unwrap()
    }

    fn word() -> impl Strategy<Value = String> {
        "[ab]".prop_map(|it| it)
    }

    fn selection() -> impl Strategy<Value = Selection> {
        let operator = prop_oneof![
            Just(Operator::In),
            Just(Operator::NotIn),
            Just(Operator::Exists),
            Just(Operator::DoesNotExist)
        ];
        let values = proptest::collection::vec(word(), 1..3);
        let requirement = (word(), operator, values).prop_map(|(key, operator, values)| {
            let values = match operator {
                Operator::In | Operator::NotIn => values,
                Operator::Exists | Operator::DoesNotExist => Vec::new(),
            };
            Requirement::new(&key, operator, values).unwrap()
        });
        prop_oneof![
            word().prop_map(Selection::Name),
            Just(Selection::All),
            proptest::collection::vec(requirement, 0..3)
                .prop_map(|it| Selection::Labels(LabelSelector::new(it).unwrap())),
        ]
    }

    fn query() -> impl Strategy<Value = GrantedQuery> {
        (proptest::option::of(word()), selection()).prop_map(|(namespace, selection)| {
            GrantedQuery {
                kind: kind(),
                namespace: namespace.map(Into::into),
                selection,
            }
        })
    }

    proptest! {
        /// Each parent has its queries set twice, of which the second counts, and the last one is removed.
        #[test]
        fn the_parents_of_an_object_are_those_with_a_query_that_matches_it(
            queries in proptest::collection::vec(
                (proptest::collection::vec(query(), 0..3), proptest::collection::vec(query(), 0..3)), 1..8),
            namespace in word(),
            name in word(),
            labels in proptest::collection::vec((word(), word()), 0..3),
        ) {
            let object = object(&namespace, &name, &labels);
            let key = |index: usize| Key::new(Some("ns"), &format!("p{index}"));
            let mut index = QueryIndex::default();
            for (number, (first, second)) in queries.iter().enumerate() {
                index.set(&key(number), &first.clone().into());
                index.set(&key(number), &second.clone().into());
            }
            let last = queries.len() - 1;
            index.remove(&key(last));
            let expected: HashSet<Key> = queries[..last].iter().enumerate()
                .filter(|(_, (_, queries))| queries.iter().any(|query| query.matches(&object)))
                .map(|(number, _)| key(number))
                .collect();
            prop_assert_eq!(index.parents_of(&kind(), &object), expected);
            for number in 0..last {
                index.remove(&key(number));
            }
            prop_assert!(index.parents.is_empty());
            prop_assert_eq!(index.memory(), 0);
        }
    }
}
