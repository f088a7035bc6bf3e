use std::collections::{HashMap, HashSet};

use handler_host_core::{GrantedQuery, Key, Object, Selection};

/// Finds the objects of a cache by what queries name.
#[derive(Default)]
pub(super) struct ObjectIndex {
    keys: HashMap<Property, HashSet<Key>>,
}

/// What an object has that a query may name.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Property {
    Name(Box<str>),
    Label(Box<str>, Box<str>),
    Namespace(Box<str>),
}

impl ObjectIndex {
    pub(super) fn add(&mut self, key: &Key, object: &Object) {
        for property in properties(object) {
            self.keys.entry(property).or_default().insert(key.clone());
        }
    }

    pub(super) fn remove(&mut self, key: &Key, object: &Object) {
        for property in properties(object) {
            if let Some(keys) = self.keys.get_mut(&property) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&property);
                }
            }
        }
    }

    /// The keys of objects that may answer a query, among them all that do; None if it may be any object.
    pub(super) fn candidates(&self, query: &GrantedQuery) -> Option<impl Iterator<Item = &Key>> {
        let named = match &query.selection {
            Selection::Name(name) => Some(vec![Property::Name(name.as_str().into())]),
            Selection::Labels(labels) => labels.decisive().map(|(key, values)| {
                let values = values.iter();
                let label = |value: &String| Property::Label(key.into(), value.as_str().into());
                values.map(label).collect()
            }),
            Selection::All => None,
        };
        let of_namespace = || {
            let namespace = query.namespace.as_deref()?;
            Some(vec![Property::Namespace(namespace.into())])
        };
        let properties = named.or_else(of_namespace)?;
        // The values of a label exclude each other, so no key is there twice.
        let keys = properties.into_iter().filter_map(|it| self.keys.get(&it));
        Some(keys.flatten())
    }
}

fn properties(object: &Object) -> impl Iterator<Item = Property> {
    let meta = &object.meta;
    let labels = meta.labels.iter();
    let labels = labels.map(|(key, value)| Property::Label(key.into(), value.into()));
    let namespace = meta.namespace.as_deref();
    labels
        .chain([Property::Name(meta.name.as_str().into())])
        .chain(namespace.map(|it| Property::Namespace(it.into())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use handler_host_core::{Kind, LabelSelector, Operator, Requirement};
    use rstest::rstest;

    use super::super::cache::Cache;
    use super::*;

    fn object(namespace: &str, name: &str, version: u32, tier: &str) -> Arc<Object> {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}","resourceVersion":"{version}","uid":"{namespace}/{name}","labels":{{"tier":"{tier}"}}}}}}"#
        );
        let kind = Kind::new("v1", "Secret").unwrap();
        Arc::new(Object::parse(&kind, &text).unwrap())
    }

    fn labels(operator: Operator, values: &[&str]) -> Selection {
        let values = values.iter().map(|it| (*it).to_owned());
        let requirement = Requirement::new("tier", operator, values).unwrap();
        Selection::Labels(LabelSelector::new([requirement]).unwrap())
    }

    #[rstest]
    #[case::a_name(Some("one"), Selection::Name("a".into()), &["one/a"])]
    #[case::a_name_anywhere(None, Selection::Name("a".into()), &["one/a", "two/a"])]
    #[case::a_name_elsewhere(Some("three"), Selection::Name("a".into()), &[])]
    #[case::a_label(Some("one"), labels(Operator::In, &["web"]), &["one/b"])]
    #[case::two_values(None, labels(Operator::In, &["web", "db"]), &["one/a", "one/b", "two/a"])]
    #[case::not_a_value(None, labels(Operator::NotIn, &["web"]), &["one/a", "two/a"])]
    #[case::a_label_that_exists(Some("two"), labels(Operator::Exists, &[]), &["two/a"])]
    #[case::all_of_a_namespace(Some("one"), Selection::All, &["one/a", "one/b"])]
    #[case::all(None, Selection::All, &["one/a", "one/b", "two/a"])]
    fn a_query_is_answered_with_what_is_there_now(
        #[case] namespace: Option<&str>,
        #[case] selection: Selection,
        #[case] expected: &[&str],
    ) {
        let cache = Cache::of_related(Arc::default());
        for object in [
            object("one", "a", 1, "web"),
            object("one", "b", 1, "web"),
            object("one", "c", 1, "web"),
            object("two", "a", 1, "web"),
        ] {
            cache.insert(object);
        }
        cache.insert(object("one", "a", 2, "db"));
        cache.insert(object("two", "a", 2, "db"));
        cache.remove(&object("one", "c", 2, "web"));
        let query = GrantedQuery {
            kind: Kind::new("v1", "Secret").unwrap(),
            namespace: namespace.map(Into::into),
            selection,
        };
        let found = cache.select(&query).into_iter();
        let mut found: Vec<_> = found.map(|it| it.key().to_string()).collect();
        found.sort();
        assert_eq!(found, expected);
    }
}
