use std::sync::Arc;

use super::check::{Denied, DenyReason};
use crate::objects::is_dns_label;
use crate::{Grant, GrantedQuery, Kind, Object, Place, Query, RelatedGrant, Scope, Selection};

/// How many queries a handler may have for one parent.
const MOST_QUERIES: usize = 100;

/// Checks the queries of a handler for a parent against the grant.
///
/// # Errors
///
/// When one asks for what may not be seen.
pub fn check_queries(
    queries: Vec<Query>,
    parent: &Object,
    grant: &Grant,
) -> Result<Vec<GrantedQuery>, Denied> {
    let denied = |reason| Denied {
        handler: grant.handler.clone(),
        reason: Box::new(reason),
    };
    let count = queries.len();
    if count > MOST_QUERIES {
        let limit = MOST_QUERIES;
        return Err(denied(DenyReason::Queries { count, limit }));
    }
    let check = |query| check_query(query, parent, grant).map_err(denied);
    queries.into_iter().map(check).collect()
}

fn check_query(query: Query, parent: &Object, grant: &Grant) -> Result<GrantedQuery, DenyReason> {
    let Query {
        kind,
        place,
        selection,
    } = query;
    let granted: Vec<&RelatedGrant> = grant.related(&kind).collect();
    let Some(scope) = granted.first().map(|it| it.scope) else {
        return Err(DenyReason::RelatedKind { kind });
    };
    let parents = parent.meta.namespace.as_deref();
    let namespace = match (scope, place) {
        (Scope::Cluster, _) | (Scope::Namespaced, Place::Everywhere) => None,
        (Scope::Namespaced, Place::ParentNamespace) => match parents {
            Some(namespace) => Some(namespace.to_owned()),
            None => return Err(DenyReason::NoParentNamespace { kind }),
        },
        (Scope::Namespaced, Place::Namespace(namespace)) if is_dns_label(&namespace) => {
            Some(namespace)
        }
        (Scope::Namespaced, Place::Namespace(namespace)) => {
            return Err(DenyReason::RelatedNamespace { kind, namespace });
        }
    };
    let mut reached = granted.into_iter().filter(|it| {
        // Everywhere is where the grant reaches.
        namespace.is_none() || it.reaches(namespace.as_deref(), parents)
    });
    let mut reached = reached.by_ref().peekable();
    if let (None, Some(namespace)) = (reached.peek(), &namespace) {
        let namespace = namespace.clone();
        return Err(DenyReason::RelatedNamespace { kind, namespace });
    }
    if let Selection::Name(name) = &selection
        && !reached.any(|it| it.allows_name(name))
    {
        let name = name.clone();
        return Err(DenyReason::RelatedName { kind, name });
    }
    Ok(GrantedQuery {
        kind,
        namespace: namespace.map(Into::into),
        selection,
    })
}

/// The objects among these that answer each query and that the grant shows for the parent, ordered by namespace and name.
#[must_use]
pub fn answers_among(
    objects: &[(Kind, Arc<Object>)],
    queries: &[GrantedQuery],
    parent: &Object,
    grant: &Grant,
) -> Vec<Vec<Arc<Object>>> {
    let answer = |query: &GrantedQuery| {
        let of_kind = objects.iter().filter(|(kind, _)| *kind == query.kind);
        let matching = of_kind
            .filter(|(kind, object)| query.matches(object) && grant.shows(kind, object, parent));
        let mut answer: Vec<_> = matching.map(|(_, object)| object.clone()).collect();
        answer.sort_by_cached_key(|object| object.key());
        answer
    };
    queries.iter().map(answer).collect()
}

/// Checks how much a handler is given with its queries answered.
///
/// # Errors
///
/// When the answers have more objects, or more bytes, than the handler may be given at once.
pub fn check_related(answers: &[Vec<Arc<Object>>], grant: &Grant) -> Result<(), Denied> {
    let denied = |reason| Denied {
        handler: grant.handler.clone(),
        reason: Box::new(reason),
    };
    let limit = grant.limits.related;
    let count = answers.iter().map(Vec::len).sum();
    if count > limit {
        return Err(denied(DenyReason::RelatedCount { count, limit }));
    }
    let limit = grant.limits.related_bytes;
    let texts = answers.iter().flatten().map(|object| object.text().len());
    let bytes = texts.sum();
    if bytes > limit {
        return Err(denied(DenyReason::RelatedSize { bytes, limit }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{GrantRequest, RelatedPlaces, RelatedPolicy};

    fn kind(name: &str) -> Kind {
        Kind::new("v1", name).unwrap()
    }

    fn policy(name: &str, places: RelatedPlaces, names: &[&str]) -> RelatedPolicy {
        RelatedPolicy {
            places,
            names: names.iter().map(|it| (*it).to_owned()).collect(),
            ..RelatedPolicy::of_kind(&kind(name))
        }
    }

    fn grant() -> Grant {
        let infra = RelatedPlaces::Namespaces(vec!["infra".to_owned()]);
        let request = GrantRequest {
            related: vec![
                policy("ConfigMap", RelatedPlaces::Parents, &[]),
                policy("ConfigMap", infra, &["defaults"]),
                policy("Service", RelatedPlaces::Everywhere, &[]),
                policy("Node", RelatedPlaces::Parents, &[]),
            ],
            ..GrantRequest::new("evc", &kind("Pod"))
        };
        let scope = |kind: &Kind| match kind.kind.as_str() {
            "Node" => Scope::Cluster,
            _ => Scope::Namespaced,
        };
        request.grant_in(scope).unwrap()
    }

    fn object(name: &str, namespace: Option<&str>) -> Object {
        let object = json!({"metadata": {"name": name, "namespace": namespace}});
        Object::parse(&kind("Pod"), &object.to_string()).unwrap()
    }

    fn named(name: &str) -> Selection {
        Selection::Name(name.to_owned())
    }

    #[rstest]
    #[case::beside_the_parent("ConfigMap", Place::ParentNamespace, Selection::All, Ok(Some("ns")))]
    #[case::beside_the_parent_by_its_name("ConfigMap", Place::Namespace("ns".into()), Selection::All, Ok(Some("ns")))]
    #[case::all_that_is_granted("ConfigMap", Place::Everywhere, Selection::All, Ok(None))]
    #[case::a_named_one_elsewhere("ConfigMap", Place::Namespace("infra".into()), named("defaults"), Ok(Some("infra")))]
    #[case::all_that_is_granted_elsewhere("ConfigMap", Place::Namespace("infra".into()), Selection::All, Ok(Some("infra")))]
    #[case::another_one_elsewhere("ConfigMap", Place::Namespace("infra".into()), named("other"), Err("ConfigMap other"))]
    #[case::another_place("ConfigMap", Place::Namespace("kube-system".into()), Selection::All, Err("in namespace \"kube-system\""))]
    #[case::no_place("Service", Place::Namespace("a/b".into()), Selection::All, Err("in namespace \"a/b\""))]
    #[case::any_place("Service", Place::Namespace("other".into()), Selection::All, Ok(Some("other")))]
    #[case::without_a_namespace("Node", Place::ParentNamespace, Selection::All, Ok(None))]
    #[case::another_kind(
        "Secret",
        Place::ParentNamespace,
        Selection::All,
        Err("may not see v1 Secret")
    )]
    fn a_query_reaches_what_is_granted(
        #[case] name: &str,
        #[case] place: Place,
        #[case] selection: Selection,
        #[case] outcome: Result<Option<&str>, &str>,
    ) {
        let query = Query {
            kind: kind(name),
            place,
            selection,
        };
        let checked = check_queries(vec![query], &object("p", Some("ns")), &grant());
        match (checked, outcome) {
            (Ok(queries), Ok(namespace)) => {
                assert_eq!(queries[0].namespace.as_deref(), namespace);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_parent_without_a_namespace_has_nothing_beside_it() {
        let query = Query {
            kind: kind("ConfigMap"),
            place: Place::ParentNamespace,
            selection: Selection::All,
        };
        let denied = check_queries(vec![query], &object("p", None), &grant()).unwrap_err();
        assert!(
            matches!(*denied.reason, DenyReason::NoParentNamespace { .. }),
            "{denied}"
        );
    }

    #[test]
    fn no_more_queries_and_objects_than_the_limits_are_answered() {
        let query = Query {
            kind: kind("Node"),
            place: Place::Everywhere,
            selection: Selection::All,
        };
        let parent = object("p", Some("ns"));
        let queries = |count| check_queries(vec![query.clone(); count], &parent, &grant());
        assert!(queries(MOST_QUERIES).is_ok());
        assert!(queries(MOST_QUERIES + 1).is_err());
        let one = Arc::new(object("n", None));
        let answers = |count| {
            [
                std::iter::repeat_n(one.clone(), count).collect(),
                Vec::new(),
            ]
        };
        let mut grant = grant();
        assert!(check_related(&answers(grant.limits.related), &grant).is_ok());
        let denied = check_related(&answers(grant.limits.related + 1), &grant).unwrap_err();
        assert!(denied.to_string().contains("1001 objects"), "{denied}");
        grant.limits.related_bytes = 10;
        let denied = check_related(&answers(1), &grant).unwrap_err();
        assert!(
            denied.to_string().contains("limits.relatedSize"),
            "{denied}"
        );
    }

    #[rstest]
    #[case::beside_the_parent("ConfigMap", "any", Some("ns"), true)]
    #[case::beside_another_parent("ConfigMap", "any", Some("other"), false)]
    #[case::a_named_one_elsewhere("ConfigMap", "defaults", Some("infra"), true)]
    #[case::another_one_elsewhere("ConfigMap", "other", Some("infra"), false)]
    #[case::anywhere("Service", "any", Some("other"), true)]
    #[case::another_kind("Secret", "any", Some("ns"), false)]
    fn a_handler_sees_what_is_granted_for_the_parent(
        #[case] name: &str,
        #[case] object_name: &str,
        #[case] namespace: Option<&str>,
        #[case] is_shown: bool,
    ) {
        let parent = object("p", Some("ns"));
        let shown = grant().shows(&kind(name), &object(object_name, namespace), &parent);
        assert_eq!(shown, is_shown);
    }
}
