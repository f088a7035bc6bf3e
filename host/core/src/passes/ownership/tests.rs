use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::passes::check::check;
use crate::{ChildGrant, ChildPolicy, Children, Limits, OnParentDelete, Step, plan};

const OURS: &str = "parent";
const OTHERS: &str = "other-parent";
const GONE: &str = "gone-parent";

/// What of an object decides whose it is.
#[derive(Clone, Debug)]
struct Traits {
    name: &'static str,
    namespace: &'static str,
    controller: Option<&'static str>,
    owner: Option<&'static str>,
    handler_label: Option<&'static str>,
    uid_label: Option<&'static str>,
    handed_over_to: Option<&'static str>,
    applied_by: Option<&'static str>,
    is_deleting: bool,
}

/// An object that somebody made at the name of a child.
const UNLABELLED: Traits = Traits {
    name: "a",
    namespace: "ns",
    controller: None,
    owner: None,
    handler_label: None,
    uid_label: None,
    handed_over_to: None,
    applied_by: None,
    is_deleting: false,
};

/// A child as the host makes it.
const CHILD: Traits = Traits {
    controller: Some(OURS),
    handler_label: Some("evc"),
    uid_label: Some(OURS),
    applied_by: Some("evc"),
    ..UNLABELLED
};

/// A child that has no owner reference.
const ORPHAN: Traits = Traits {
    controller: None,
    ..CHILD
};

fn kind(version: &str) -> Kind {
    Kind::new(&format!("example.com/{version}"), "Part").unwrap()
}

fn object(traits: &Traits, kind: &Kind, uid: &str) -> Object {
    let owner = |uid: &str, is_controller: bool| json!({"uid": uid, "kind": "Thing", "name": "t", "controller": is_controller});
    let owners: Vec<Value> = traits
        .controller
        .map(|uid| owner(uid, true))
        .into_iter()
        .chain(traits.owner.map(|uid| owner(uid, false)))
        .collect();
    let mut labels = serde_json::Map::new();
    let values = [
        (HANDLER_LABEL, traits.handler_label),
        (PARENT_UID_LABEL, traits.uid_label),
    ];
    for (name, value) in values {
        labels.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    let manager = traits
        .applied_by
        .map(|handler| json!({"manager": format!("handler-host/{handler}"), "operation": "Apply"}));
    let handed_over = traits
        .handed_over_to
        .map(|handler| json!({HAND_OVER_ANNOTATION: handler}));
    let deletion = traits.is_deleting.then_some("2026-01-01T00:00:00Z");
    let text = json!({"metadata": {
        "name": traits.name, "namespace": traits.namespace, "uid": uid, "ownerReferences": owners,
        "labels": labels, "annotations": handed_over, "deletionTimestamp": deletion,
        "managedFields": manager.into_iter().collect::<Vec<_>>(),
    }});
    Object::parse(kind, &text.to_string()).unwrap()
}

fn parent(scope: Scope) -> Object {
    let namespace = match scope {
        Scope::Namespaced => json!("ns"),
        Scope::Cluster => Value::Null,
    };
    let text = json!({"metadata": {"name": "p", "namespace": namespace, "uid": OURS}});
    Object::parse(&Kind::new("v1", "Pod").unwrap(), &text.to_string()).unwrap()
}

fn grant(parent_scope: Scope, on_parent_delete: OnParentDelete) -> Grant {
    let children = ["v1", "v2"].map(|version| ChildGrant {
        policy: ChildPolicy::new(kind(version), on_parent_delete),
        scope: Scope::Namespaced,
        field_types: crate::FieldTypes::default(),
    });
    Grant {
        handler: "evc".to_owned(),
        parent: Kind::new("v1", "Pod").unwrap(),
        parent_scope,
        parent_status: crate::ParentStatus::Conditions,
        condition: "Ready".to_owned(),
        selection: crate::ParentSelection::default(),
        children: children.into(),
        related: Vec::new(),
        clock: None,
        limits: Limits::default(),
    }
}

fn is_living(uid: &str) -> bool {
    uid != GONE
}

fn ownership(traits: &Traits, scope: Scope, on_parent_delete: OnParentDelete) -> Ownership {
    let (parent, grant) = (parent(scope), grant(scope, on_parent_delete));
    let claimant = Claimant {
        parent: &parent,
        grant: &grant,
    };
    claimant.ownership(&kind("v1"), &object(traits, &kind("v1"), "u"), is_living)
}

fn controlled() -> Ownership {
    Ownership::Foreign(Foreign::Controlled {
        kind: "Thing".to_owned(),
        name: "t".to_owned(),
    })
}

fn of_another(handler: &str) -> Ownership {
    Ownership::Foreign(Foreign::OfAnother {
        handler: handler.to_owned(),
    })
}

#[rstest]
#[case::as_it_was_made(CHILD, Ownership::Child)]
#[case::all_labels_removed(Traits { handler_label: None, uid_label: None, ..CHILD }, Ownership::Child)]
#[case::uid_label_edited(Traits { uid_label: Some("x"), ..CHILD }, Ownership::Child)]
#[case::handler_label_edited(Traits { handler_label: Some("x"), ..CHILD }, Ownership::Child)]
#[case::never_applied(Traits { applied_by: None, ..CHILD }, Ownership::Child)]
#[case::of_another_handler_of_the_parent(
    Traits { handler_label: Some("b"), applied_by: Some("b"), ..CHILD }, of_another("b"))]
#[case::labels_copied_down_by_another_controller(
    Traits { controller: Some("deployment"), ..CHILD }, controlled())]
#[case::another_controller_and_an_owner_reference(
    Traits { controller: Some("deployment"), owner: Some(OURS), ..CHILD }, controlled())]
#[case::controlled_and_handed_over(
    Traits { controller: Some("deployment"), handed_over_to: Some("evc"), ..UNLABELLED }, controlled())]
#[case::copied_to_another_namespace(
    Traits { namespace: "copy", ..CHILD }, Ownership::Foreign(Foreign::Elsewhere))]
#[case::copied_without_owner(
    Traits { namespace: "copy", ..ORPHAN }, Ownership::Foreign(Foreign::Elsewhere))]
#[case::owner_reference_removed(ORPHAN, Ownership::Adoptable(Adoption::Own))]
#[case::owner_is_no_controller(
    Traits { owner: Some(OURS), ..ORPHAN }, Ownership::Adoptable(Adoption::Own))]
#[case::restored_from_a_backup(
    Traits { uid_label: Some(GONE), applied_by: None, ..ORPHAN }, Ownership::Adoptable(Adoption::Orphan))]
#[case::left_by_a_parent_that_was_made_anew(
    Traits { uid_label: Some(GONE), ..ORPHAN }, Ownership::Adoptable(Adoption::Orphan))]
#[case::of_another_living_parent(Traits { uid_label: Some(OTHERS), ..ORPHAN }, of_another("evc"))]
#[case::of_another_handlers_gone_parent(
    Traits { handler_label: Some("b"), uid_label: Some(GONE), ..ORPHAN }, of_another("b"))]
#[case::no_label_of_a_parent(Traits { uid_label: None, ..ORPHAN }, of_another("evc"))]
#[case::unlabelled(UNLABELLED, Ownership::Foreign(Foreign::Unlabelled))]
#[case::unlabelled_but_applied(
    Traits { applied_by: Some("evc"), ..UNLABELLED }, Ownership::Foreign(Foreign::Unlabelled))]
#[case::handed_over(
    Traits { handed_over_to: Some("evc"), ..UNLABELLED }, Ownership::Adoptable(Adoption::HandedOver))]
#[case::handed_over_by_another_handler(
    Traits { handed_over_to: Some("evc"), handler_label: Some("b"), applied_by: Some("b"), ..CHILD },
    Ownership::Adoptable(Adoption::HandedOver))]
#[case::given_by_an_owner_reference(
    Traits { owner: Some(OURS), ..UNLABELLED }, Ownership::Adoptable(Adoption::HandedOver))]
#[case::handed_over_to_another_handler(
    Traits { handed_over_to: Some("b"), ..UNLABELLED }, Ownership::Foreign(Foreign::Unlabelled))]
fn a_child_is_known_by_its_controller(#[case] traits: Traits, #[case] expected: Ownership) {
    let found = ownership(&traits, Scope::Namespaced, OnParentDelete::Delete);
    assert_eq!(found, expected);
}

#[rstest]
#[case::as_it_was_made(ORPHAN, Ownership::Child)]
#[case::with_an_owner_from_an_earlier_grant(CHILD, Ownership::Child)]
#[case::a_copy(Traits { applied_by: None, ..ORPHAN }, Ownership::Adoptable(Adoption::Own))]
#[case::labels_copied_down_by_another_controller(
    Traits { controller: Some("deployment"), ..ORPHAN }, controlled())]
#[case::copied_to_another_namespace(
    Traits { namespace: "copy", ..ORPHAN }, Ownership::Foreign(Foreign::Elsewhere))]
fn labels_count_where_no_owner_reference_stands(
    #[case] traits: Traits,
    #[case] expected: Ownership,
) {
    let found = ownership(&traits, Scope::Namespaced, OnParentDelete::Orphan);
    assert_eq!(found, expected);
}

#[rstest]
#[case::as_it_was_made(CHILD, Ownership::Child)]
#[case::a_copy_with_its_owner(
    Traits { namespace: "copy", applied_by: None, ..CHILD }, Ownership::Adoptable(Adoption::Own))]
fn a_cluster_scoped_parent_owns_what_its_handler_applied(
    #[case] traits: Traits,
    #[case] expected: Ownership,
) {
    let found = ownership(&traits, Scope::Cluster, OnParentDelete::Delete);
    assert_eq!(found, expected);
}

fn any_of(values: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(values))
}

fn traits() -> impl Strategy<Value = Traits> {
    let names = prop::sample::select(&["a", "b", "c"][..]);
    let namespaces = prop::sample::select(&["ns", "copy"][..]);
    let uids = &[OURS, OTHERS, GONE, "deployment"];
    let handlers = &["evc", "b"];
    (
        (names, namespaces, any_of(uids), any_of(uids)),
        (
            any_of(handlers),
            any_of(uids),
            any_of(handlers),
            any_of(handlers),
        ),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(place, marks, is_deleting)| {
            let (name, namespace, controller, owner) = place;
            let (handler_label, uid_label, handed_over_to, applied_by) = marks;
            Traits {
                name,
                namespace,
                controller,
                owner,
                handler_label,
                uid_label,
                handed_over_to,
                applied_by,
                is_deleting,
            }
        })
}

/// Whether an object may be deleted, said in other words than the rule.
fn may_be_deleted(it: &Traits, scope: Scope, policy: OnParentDelete) -> bool {
    let is_orphan = policy == OnParentDelete::Orphan
        && it.controller.is_none()
        && it.handler_label == Some("evc")
        && it.uid_label == Some(OURS)
        && it.applied_by == Some("evc");
    let is_near = scope == Scope::Cluster || it.namespace == "ns";
    is_near && (it.controller == Some(OURS) && !is_other_handlers(it) || is_orphan)
}

/// Two handlers of one parent do not take children from each other.
fn is_other_handlers(it: &Traits) -> bool {
    it.handler_label == Some("b") && it.applied_by == Some("b")
}

/// Whether an object may be written at a desired name, said in other words than the rule.
fn may_be_written(it: &Traits, scope: Scope) -> bool {
    let is_near = scope == Scope::Cluster || it.namespace == "ns";
    let is_labelled = it.handler_label == Some("evc") && matches!(it.uid_label, Some(OURS | GONE));
    let is_consented = is_labelled || it.handed_over_to == Some("evc") || it.owner == Some(OURS);
    let is_ours = it.controller == Some(OURS);
    is_near
        && (is_ours && !is_other_handlers(it)
            || (is_ours || it.controller.is_none()) && is_consented)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random objects go through the rule and the plan, and what follows for each of them is looked at.
    #[test]
    fn nothing_foreign_is_written_or_deleted(
        objects in prop::collection::vec((traits(), prop::bool::ANY), 0..8),
        desired in prop::collection::btree_set(prop::sample::select(&["a", "b", "c"][..]), 0..3),
        version in prop::sample::select(&["v1", "v2"][..]),
        is_cluster_scoped in prop::bool::ANY,
        is_orphaned in prop::bool::ANY,
    ) {
        let scope = if is_cluster_scoped { Scope::Cluster } else { Scope::Namespaced };
        let policy = if is_orphaned { OnParentDelete::Orphan } else { OnParentDelete::Delete };
        let (parent, grant) = (parent(scope), grant(scope, policy));
        let claimant = Claimant { parent: &parent, grant: &grant };
        // One object has a name in a namespace. Some are seen in both versions of their kind.
        let mut known: HashMap<(&str, &str), &Traits> = HashMap::new();
        let mut views = Vec::new();
        for (traits, is_seen_twice) in &objects {
            if known.insert((traits.namespace, traits.name), traits).is_some() {
                known.insert((traits.namespace, traits.name), traits);
                views.retain(|(_, view): &(Kind, Arc<Object>)| {
                    view.key() != crate::Key::new(Some(traits.namespace), traits.name)
                });
            }
            let uid = format!("{}/{}", traits.namespace, traits.name);
            let versions = if *is_seen_twice { &["v1", "v2"][..] } else { &[version][..] };
            for version in versions {
                let kind = kind(version);
                views.push((kind.clone(), Arc::new(object(traits, &kind, &uid))));
            }
        }
        let traits_of = |uid: &str| {
            let (namespace, name) = uid.split_once('/').unwrap();
            known.iter().find(|(key, _)| **key == (namespace, name)).map(|(_, traits)| *traits).unwrap()
        };
        let observed: Vec<_> =
            views.iter().filter(|(kind, view)| claimant.owns(kind, view)).cloned().collect();
        let texts = desired.iter().map(|name| json!({
            "apiVersion": format!("example.com/{version}"), "kind": "Part",
            "metadata": {"name": name, "namespace": "ns"}, "data": 1,
        }).to_string());
        let checked = check(Children::desired(texts.collect()), &[], &[], &parent, &grant).unwrap();
        let steps = plan(&checked, &observed, &HashMap::new(), &parent, &grant);
        let mut deleted = Vec::new();
        for step in &steps {
            match step {
                Step::Delete { uid, .. } => {
                    prop_assert!(may_be_deleted(traits_of(uid), scope, policy), "{:?}", traits_of(uid));
                    prop_assert!(!deleted.contains(uid), "{uid} is deleted twice");
                    deleted.push(uid.clone());
                }
                Step::Update { observed, .. } | Step::Recreate { observed, .. } => {
                    prop_assert!(may_be_written(traits_of(&observed.meta.uid), scope));
                }
                // The API server refuses a creation at a taken name, and the rule says what follows.
                Step::Create(child) => {
                    let taken = views.iter().find(|(kind, view)| *kind == child.kind && view.key() == child.key);
                    if let Some((kind, view)) = taken {
                        let is_written = match claimant.ownership(kind, view, is_living) {
                            Ownership::Child | Ownership::Adoptable(_) => true,
                            Ownership::Foreign(_) => false,
                        };
                        let traits = traits_of(&view.meta.uid);
                        prop_assert_eq!(is_written, may_be_written(traits, scope), "{:?}", traits);
                    }
                }
                Step::AwaitDeletion(_) => {}
            }
        }
        for child in checked.iter() {
            let uid = child.key.to_string();
            prop_assert!(!deleted.contains(&uid), "{uid} is desired and deleted");
        }
    }
}
