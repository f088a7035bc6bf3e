use rstest::rstest;

use super::*;
use crate::{ChildPolicy, GrantRequest, Kind, Limits, RelatedPolicy, Scope};

fn kind(text: &str) -> Kind {
    let (api_version, kind) = text.split_once(' ').unwrap();
    Kind::new(api_version, kind).unwrap()
}

fn resource(group: &str, plural: &str, has_status: bool) -> Resource {
    Resource {
        group: group.to_owned(),
        plural: plural.to_owned(),
        has_status,
    }
}

/// The rules of a handler of puppets with children of these kinds, as lines.
fn of(has_status: bool, has_finalizer: bool, children: &[(&str, OnParentDelete)]) -> Vec<String> {
    let kinds: Vec<_> = children
        .iter()
        .map(|(text, what)| ChildPolicy::new(kind(text), *what))
        .collect();
    let parent = kind("tests.dev/v1 Puppet");
    let grant = Grant::new("a", &parent, &kinds, Limits::default(), |_| {
        Scope::Namespaced
    });
    let plural = |kind: &Kind| format!("{}s", kind.kind.to_lowercase());
    let resources: Vec<_> = kinds
        .iter()
        .map(|child| resource(child.kind.group(), &plural(&child.kind), false))
        .collect();
    let parents = resource("tests.dev", "puppets", has_status);
    let rules = rules(&grant.unwrap(), &parents, &resources, &[], has_finalizer);
    let line = |rule: &Rule| {
        let verbs: Vec<_> = rule.verbs.iter().map(|verb| verb.as_str()).collect();
        format!("{} {}", rule.resource(), verbs.join(","))
    };
    rules.iter().map(line).collect()
}

const MAP: &str = "v1 ConfigMap";
const ALL: &str = "configmaps get,list,watch,create,patch,delete";

#[rstest]
#[case::nothing_but_a_status(true, false, &[], &["puppets list,watch", "puppets/status patch"])]
#[case::a_status_that_is_no_subresource(false, false, &[], &["puppets list,watch,patch"])]
#[case::a_finalizer(true, true, &[], &["puppets list,watch,patch", "puppets/status patch"])]
#[case::a_child_that_is_owned(true, false, &[(MAP, OnParentDelete::Delete)],
    &["puppets list,watch", "puppets/status patch", "puppets/finalizers update", ALL])]
#[case::a_child_that_is_not(true, false, &[(MAP, OnParentDelete::Orphan)],
    &["puppets list,watch", "puppets/status patch", ALL])]
#[case::two_versions_of_a_child(true, false,
    &[("a.dev/v1 Thing", OnParentDelete::Orphan), ("a.dev/v2 Thing", OnParentDelete::Orphan)],
    &["puppets list,watch", "puppets/status patch", "things get,list,watch,create,patch,delete"])]
fn a_handler_needs_what_its_grant_takes(
    #[case] has_status: bool,
    #[case] has_finalizer: bool,
    #[case] children: &[(&str, OnParentDelete)],
    #[case] rules: &[&str],
) {
    assert_eq!(of(has_status, has_finalizer, children), rules);
}

fn missing(namespaces: &[&str]) -> String {
    let parents = resource("tests.dev", "puppets", true);
    let rules = [
        Rule::new(&parents, None, [Verb::List, Verb::Watch, Verb::Patch]),
        Rule::new(&parents, Some("status"), [Verb::Patch]),
        Rule::new(&resource("", "secrets", false), None, [Verb::Get]),
    ];
    let namespaces: Vec<_> = namespaces.iter().map(|name| (*name).to_owned()).collect();
    rights_in_words(&rights(&rules, &namespaces))
}

#[test]
fn rights_are_named_as_kubectl_names_them() {
    assert_eq!(
        missing(&[]),
        "list, watch and patch puppets.tests.dev, patch puppets.tests.dev/status, get secrets"
    );
    assert_eq!(
        missing(&["one", "two"]),
        "list, watch and patch puppets.tests.dev in namespace one, list, watch and patch puppets.tests.dev in namespace two, patch puppets.tests.dev/status in namespace one, patch puppets.tests.dev/status in namespace two, and 2 resources more"
    );
}

#[test]
fn related_objects_are_read_where_they_may_be_seen() {
    let related = |name: &str, places, names: &[&str]| RelatedPolicy {
        places,
        names: names.iter().map(|it| (*it).to_owned()).collect(),
        ..RelatedPolicy::of_kind(&kind(name))
    };
    let infra = RelatedPlaces::Namespaces(vec!["infra".to_owned()]);
    let request = GrantRequest {
        related: vec![
            related("v1 Secret", infra, &["ca"]),
            related("v1 Service", RelatedPlaces::Parents, &[]),
            related("v1 Node", RelatedPlaces::Parents, &[]),
        ],
        ..GrantRequest::new("a", &kind("tests.dev/v1 Puppet"))
    };
    let scope = |kind: &Kind| match kind.kind.as_str() {
        "Node" => Scope::Cluster,
        _ => Scope::Namespaced,
    };
    let grant = request.grant_in(scope).unwrap();
    let plurals = ["secrets", "services", "nodes"].map(|it| resource("", it, false));
    let resources: Vec<_> = plurals.into_iter().zip(&grant.related).collect();
    let parents = resource("tests.dev", "puppets", true);
    let rules = rules(&grant, &parents, &[], &resources, false);
    let rights: Vec<_> = rights(&rules[2..], &["team".to_owned()]);
    let gets = rights.iter().filter(|it| it.verb == Verb::Get);
    let words: Vec<_> = gets
        .map(|it| rights_in_words(std::slice::from_ref(it)))
        .collect();
    let expected = [
        "get secrets ca in namespace infra",
        "get services in namespace team",
        "get nodes",
    ];
    assert_eq!(words, expected);
}
