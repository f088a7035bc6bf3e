use super::grant::Scope;
use crate::{Kind, LabelSelector, Object, Pairs};

/// Which objects of the parents' kind a handler is called for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentSelection {
    /// Their labels.
    pub labels: LabelSelector,
    /// The labels of their namespaces; their own, if the parents are Namespaces.
    pub namespaces: LabelSelector,
    /// Namespaces that they are not in, or are not, if the parents are Namespaces.
    pub excluded_namespaces: Vec<String>,
    /// What becomes of the children of a parent that is selected no more.
    pub on_unmatch: OnParentUnmatch,
}

/// What becomes of the children of a parent that is selected no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnParentUnmatch {
    /// They stay, and are looked after when the parent is selected again.
    #[default]
    Keep,
    /// They are deleted.
    Delete,
}

impl ParentSelection {
    /// The labels by which parents are watched. A parent whose children are to be deleted has to be seen without them too.
    #[must_use]
    pub fn watched_labels(&self) -> LabelSelector {
        match self.on_unmatch {
            OnParentUnmatch::Keep => self.labels.clone(),
            OnParentUnmatch::Delete => LabelSelector::default(),
        }
    }

    /// Whether the namespaces of parents have to be known.
    #[must_use]
    pub fn needs_namespaces(&self, parents: &Kind, scope: Scope) -> bool {
        !self.namespaces.is_empty() && scope == Scope::Namespaced && !is_namespace(parents)
    }

    /// Whether a handler is called for a parent of this kind. `namespace` are the labels of its namespace, as far as that is
    /// known: a parent in an unknown one is not selected by namespace.
    #[must_use]
    pub fn selects(&self, kind: &Kind, parent: &Object, namespace: Option<&Pairs>) -> bool {
        let meta = &parent.meta;
        let (place, labels) = if is_namespace(kind) {
            (Some(meta.name.as_str()), Some(&meta.labels))
        } else {
            (meta.namespace.as_deref(), namespace)
        };
        let is_excluded = place.is_some_and(|place| {
            let mut excluded = self.excluded_namespaces.iter();
            excluded.any(|it| it == place)
        });
        let is_in_place = match (place, labels) {
            _ if self.namespaces.is_empty() => true,
            // What is in no namespace is not selected by one, as in webhooks of Kubernetes.
            (None, _) => true,
            (Some(_), labels) => labels.is_some_and(|labels| self.namespaces.matches(labels)),
        };
        !is_excluded && is_in_place && self.labels.matches(&meta.labels)
    }
}

fn is_namespace(kind: &Kind) -> bool {
    kind.group().is_empty() && kind.kind == "Namespace"
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{Operator, Requirement};

    fn labels(key: &str, value: &str) -> LabelSelector {
        let requirement = Requirement::new(key, Operator::In, [value.to_owned()]).unwrap();
        LabelSelector::new([requirement]).unwrap()
    }

    fn object(kind: &Kind, namespace: Option<&str>, tier: &str) -> Object {
        let object =
            json!({"metadata": {"name": "p", "namespace": namespace, "labels": {"tier": tier}}});
        Object::parse(kind, &object.to_string()).unwrap()
    }

    fn selection() -> ParentSelection {
        ParentSelection {
            labels: labels("tier", "web"),
            namespaces: labels("tier", "web"),
            excluded_namespaces: vec!["out".to_owned()],
            ..ParentSelection::default()
        }
    }

    #[rstest]
    #[case::all_of_it("Pod", Some("in"), "web", Some("web"), true)]
    #[case::another_label("Pod", Some("in"), "db", Some("web"), false)]
    #[case::another_namespace("Pod", Some("in"), "web", Some("db"), false)]
    #[case::an_unknown_namespace("Pod", Some("in"), "web", None, false)]
    #[case::an_excluded_namespace("Pod", Some("out"), "web", Some("web"), false)]
    #[case::no_namespace("Node", None, "web", None, true)]
    #[case::a_namespace_itself("Namespace", None, "web", None, true)]
    #[case::a_namespace_of_other_labels("Namespace", None, "db", None, false)]
    fn a_parent_is_selected_by_its_labels_and_its_namespace(
        #[case] kind: &str,
        #[case] namespace: Option<&str>,
        #[case] tier: &str,
        #[case] tier_of_namespace: Option<&str>,
        #[case] is_selected: bool,
    ) {
        let kind = Kind::new("v1", kind).unwrap();
        let of_namespace = tier_of_namespace.map(|tier| object(&kind, None, tier).meta.labels);
        let parent = object(&kind, namespace, tier);
        let selected = selection().selects(&kind, &parent, of_namespace.as_ref());
        assert_eq!(selected, is_selected);
        assert!(ParentSelection::default().selects(&kind, &parent, None));
    }

    #[test]
    fn a_namespace_that_is_excluded_by_name_is_not_selected() {
        let kind = Kind::new("v1", "Namespace").unwrap();
        let selection = ParentSelection {
            excluded_namespaces: vec!["p".to_owned()],
            ..ParentSelection::default()
        };
        assert!(!selection.selects(&kind, &object(&kind, None, "web"), None));
    }
}
