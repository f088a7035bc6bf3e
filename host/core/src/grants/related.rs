use super::grant::Scope;
use crate::{Kind, LabelSelector, Object};

/// Which objects of a kind a handler may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelatedPolicy {
    /// The kind.
    pub kind: Kind,
    /// Where they are. It says nothing for cluster-scoped kinds.
    pub places: RelatedPlaces,
    /// Their names; empty for any.
    pub names: Vec<String>,
    /// Their labels.
    pub labels: LabelSelector,
}

/// The namespaces of related objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RelatedPlaces {
    /// The namespace of the parent that the handler is called for. For a cluster-scoped parent, all namespaces.
    #[default]
    Parents,
    /// All namespaces.
    Everywhere,
    /// These namespaces.
    Namespaces(Vec<String>),
}

/// A policy for a kind that the cluster serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelatedGrant {
    /// Which objects.
    pub policy: RelatedPolicy,
    /// Whether they are in namespaces.
    pub scope: Scope,
}

/// The objects that one watch follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelatedScope {
    /// Their kind.
    pub kind: Kind,
    /// Their namespace; None for all, and for a cluster-scoped kind.
    pub namespace: Option<String>,
    /// Their name; None for any.
    pub name: Option<String>,
    /// Their labels.
    pub labels: LabelSelector,
}

impl RelatedPolicy {
    /// All objects of a kind that are where the parent is.
    #[must_use]
    pub fn of_kind(kind: &Kind) -> Self {
        Self {
            kind: kind.clone(),
            places: RelatedPlaces::Parents,
            names: Vec::new(),
            labels: LabelSelector::default(),
        }
    }
}

impl RelatedGrant {
    /// Whether objects of a namespace may be seen for a parent in `parents`, which is None for a cluster-scoped parent.
    pub(crate) fn reaches(&self, namespace: Option<&str>, parents: Option<&str>) -> bool {
        let is_listed = |list: &[String]| list.iter().any(|it| Some(it.as_str()) == namespace);
        match (&self.policy.places, self.scope) {
            (_, Scope::Cluster) | (RelatedPlaces::Everywhere, Scope::Namespaced) => true,
            (RelatedPlaces::Parents, Scope::Namespaced) => {
                parents.is_none() || namespace == parents
            }
            (RelatedPlaces::Namespaces(list), Scope::Namespaced) => is_listed(list),
        }
    }

    /// Whether an object of this name may be seen, as far as its name goes.
    pub(crate) fn allows_name(&self, name: &str) -> bool {
        let names = &self.policy.names;
        names.is_empty() || names.iter().any(|it| it == name)
    }

    /// Whether an object of the kind may be seen for a parent in `parents`.
    pub(crate) fn shows(&self, object: &Object, parents: Option<&str>) -> bool {
        self.reaches(object.meta.namespace.as_deref(), parents)
            && self.allows_name(&object.meta.name)
            && self.policy.labels.matches(&object.meta.labels)
    }

    /// The watches that together follow all objects that may be seen for any parent. The parents are in these namespaces,
    /// or in all if there are none.
    #[must_use]
    pub fn scopes(&self, parent_scope: Scope, namespaces: &[String]) -> Vec<RelatedScope> {
        let policy = &self.policy;
        let namespaces: Vec<Option<&String>> = match (&policy.places, self.scope, parent_scope) {
            (RelatedPlaces::Namespaces(list), Scope::Namespaced, _) => {
                list.iter().map(Some).collect()
            }
            (RelatedPlaces::Parents, Scope::Namespaced, Scope::Namespaced)
                if !namespaces.is_empty() =>
            {
                namespaces.iter().map(Some).collect()
            }
            (RelatedPlaces::Parents | RelatedPlaces::Everywhere, ..) | (_, Scope::Cluster, _) => {
                vec![None]
            }
        };
        let names: Vec<Option<&String>> = match policy.names.as_slice() {
            [] => vec![None],
            names => names.iter().map(Some).collect(),
        };
        let mut scopes = Vec::new();
        for namespace in namespaces {
            for name in &names {
                let scope = RelatedScope {
                    kind: policy.kind.clone(),
                    namespace: namespace.cloned(),
                    name: name.cloned(),
                    labels: policy.labels.clone(),
                };
                if !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NAMESPACED: Scope = Scope::Namespaced;
    const CLUSTER: Scope = Scope::Cluster;

    fn listed(names: &[&str]) -> RelatedPlaces {
        RelatedPlaces::Namespaces(names.iter().map(|it| (*it).to_owned()).collect())
    }

    #[rstest]
    #[case::with_their_parents(RelatedPlaces::Parents, NAMESPACED, NAMESPACED, &[], &[None])]
    #[case::with_the_parents_of_a_limited_host(
        RelatedPlaces::Parents, NAMESPACED, NAMESPACED, &["a", "b"], &[Some("a"), Some("b")]
    )]
    #[case::with_parents_without_a_namespace(RelatedPlaces::Parents, NAMESPACED, CLUSTER, &[], &[None])]
    #[case::everywhere(RelatedPlaces::Everywhere, NAMESPACED, NAMESPACED, &["a"], &[None])]
    #[case::in_named_places(listed(&["x", "y", "x"]), NAMESPACED, NAMESPACED, &["a"], &[Some("x"), Some("y")])]
    #[case::without_a_namespace(RelatedPlaces::Parents, CLUSTER, NAMESPACED, &["a"], &[None])]
    fn objects_are_watched_where_they_may_be_seen(
        #[case] places: RelatedPlaces,
        #[case] scope: Scope,
        #[case] parent_scope: Scope,
        #[case] namespaces: &[&str],
        #[case] watched: &[Option<&str>],
    ) {
        let kind = Kind::new("v1", "Secret").unwrap();
        let grant = RelatedGrant {
            policy: RelatedPolicy {
                places,
                ..RelatedPolicy::of_kind(&kind)
            },
            scope,
        };
        let namespaces: Vec<_> = namespaces.iter().map(|it| (*it).to_owned()).collect();
        let scopes = grant.scopes(parent_scope, &namespaces);
        let found: Vec<_> = scopes.iter().map(|it| it.namespace.as_deref()).collect();
        assert_eq!(found, watched);
    }

    #[test]
    fn named_objects_are_watched_one_by_one() {
        let kind = Kind::new("v1", "Secret").unwrap();
        let grant = RelatedGrant {
            policy: RelatedPolicy {
                names: vec!["ca".to_owned(), "tls".to_owned()],
                ..RelatedPolicy::of_kind(&kind)
            },
            scope: NAMESPACED,
        };
        let scopes = grant.scopes(NAMESPACED, &[]).into_iter();
        let names: Vec<_> = scopes.map(|it| it.name.unwrap()).collect();
        assert_eq!(names, ["ca", "tls"]);
    }
}
