use rstest::rstest;

use super::*;
use crate::{Adoption, ChildPolicy, Claimant, ConditionStatus, FieldTypes, Limits, Ownership};

fn kind(kind: &str) -> Kind {
    Kind::new("v1", kind).unwrap()
}

fn parent(scope: Scope) -> Object {
    let namespace = match scope {
        Scope::Namespaced => r#","namespace":"ns""#,
        Scope::Cluster => "",
    };
    let text = format!(r#"{{"metadata":{{"name":"p","uid":"u1"{namespace}}}}}"#);
    Object::parse(&kind("Pod"), &text).unwrap()
}

fn grant(parent_scope: Scope, on_parent_delete: OnParentDelete) -> Grant {
    let child = |name, scope| ChildGrant {
        policy: ChildPolicy::new(kind(name), on_parent_delete),
        scope,
        field_types: FieldTypes::default(),
    };
    Grant {
        handler: "evc".to_owned(),
        parent: kind("Pod"),
        parent_scope,
        parent_status: crate::ParentStatus::Conditions,
        condition: "Ready".to_owned(),
        selection: crate::ParentSelection::default(),
        children: vec![
            child("ConfigMap", Scope::Namespaced),
            child("Node", Scope::Cluster),
        ],
        limits: Limits {
            children: 2,
            child_bytes: 400,
            status_bytes: 100,
            ..Limits::default()
        },
        related: Vec::new(),
        clock: None,
    }
}

fn check_in(scope: Scope, texts: &[&str]) -> Result<Children<Checked>, Denied> {
    let response = Response {
        children: texts.iter().map(|text| (*text).to_owned()).collect(),
        ..Response::default()
    };
    let grant = grant(scope, OnParentDelete::Delete);
    check_size(&response, &grant, usize::MAX)?;
    check(
        Children::desired(response.children),
        &[],
        &[],
        &parent(scope),
        &grant,
    )
}

const CONFIG_MAP: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#;

fn with_metadata(extra: &str) -> String {
    CONFIG_MAP.replace(r#""name":"a""#, &format!(r#""name":"a",{extra}"#))
}

#[rstest]
#[case::kind(&[r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#],
    "handler `evc` may not apply v1 Secret, which it does not describe; let `describe` name it, or drop the child")]
#[case::count(&[CONFIG_MAP, CONFIG_MAP, CONFIG_MAP],
    "handler `evc` returned 3 children, its limit is 2; return fewer")]
#[case::twice(&[CONFIG_MAP, CONFIG_MAP],
    "handler `evc` returned v1 ConfigMap ns/a twice; return each child once")]
#[case::name(&[&*CONFIG_MAP.replace("\"a\"", "\"a/b\"")],
    "handler `evc` returned v1 ConfigMap with the name \"a/b\", which cannot stand in a path; use at most 253 letters, digits, `-`, `.`, `_` and `:`")]
#[case::no_name(&[&*CONFIG_MAP.replace("\"name\":\"a\"", "")],
    "handler `evc` returned v1 ConfigMap with the name \"\", which cannot stand in a path; use at most 253 letters, digits, `-`, `.`, `_` and `:`")]
#[case::namespace(&[&*with_metadata(r#""namespace":"kube-system""#)],
    "handler `evc` returned v1 ConfigMap a in namespace \"kube-system\", its parent lives in \"ns\"; drop metadata.namespace")]
#[case::owner(&[&*with_metadata(r#""ownerReferences":[]"#)],
    "handler `evc` returned v1 ConfigMap a with `metadata.ownerReferences`, which the host sets; drop it")]
#[case::finalizer(&[&*with_metadata(r#""finalizers":["x/y"]"#)],
    "handler `evc` returned v1 ConfigMap a with `metadata.finalizers`, which could keep the child from being deleted; drop it")]
#[case::uid(&[&*with_metadata(r#""uid":"u""#)],
    "handler `evc` returned v1 ConfigMap a with `metadata.uid`, which the API server sets; drop it")]
#[case::status(&[&*CONFIG_MAP.replace("\"metadata\"", "\"status\":{\"phase\":\"x\"},\"metadata\"")],
    "handler `evc` returned v1 ConfigMap a with `status`, which belongs to the child's own controller; drop it")]
#[case::scope(&[&*with_metadata(r#""namespace":"ns""#).replace("ConfigMap", "Node")],
    "handler `evc` returned the cluster-scoped v1 Node a with namespace \"ns\"; drop metadata.namespace")]
#[case::labels(&[&*with_metadata(r#""labels":{"a":1}"#)],
    "handler `evc` returned child 0, which is no Kubernetes object in JSON (metadata.labels is not a map of strings); return an object with apiVersion, kind and metadata.name")]
fn what_is_outside_the_grant_is_denied_with_rule_and_remedy(
    #[case] children: &[&str],
    #[case] message: &str,
) {
    assert_eq!(
        check_in(Scope::Namespaced, children)
            .unwrap_err()
            .to_string(),
        message
    );
}

#[rstest]
#[case::not_json("nonsense")]
#[case::a_list("[]")]
#[case::no_kind(r#"{"metadata":{"name":"a"}}"#)]
#[case::no_metadata(r#"{"apiVersion":"v1","kind":"ConfigMap"}"#)]
fn what_is_no_object_is_denied(#[case] child: &str) {
    let denied = check_in(Scope::Namespaced, &[child]).unwrap_err();
    assert!(
        matches!(*denied.reason, DenyReason::NotAnObject { index: 0, .. }),
        "{denied}"
    );
}

#[test]
fn a_number_keeps_all_its_digits() {
    let text = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"share":8.515041781026897e+257}"#;
    let children = check_in(Scope::Namespaced, &[text]).unwrap();
    let body = children.iter().next().unwrap().body.to_string();
    assert!(body.contains("8.515041781026897e+257"), "{body}");
}

#[test]
fn a_child_over_the_size_limit_is_denied() {
    let big = CONFIG_MAP.replace(
        "\"metadata\"",
        &format!("\"data\":{{\"a\":\"{}\"}},\"metadata\"", "x".repeat(400)),
    );
    let denied = check_in(Scope::Namespaced, &[&big]).unwrap_err();
    assert!(
        matches!(*denied.reason, DenyReason::Size { limit: 400, .. }),
        "{denied}"
    );
}

#[rstest]
#[case::opaque("Opaque", true)]
#[case::a_token("kubernetes.io/service-account-token", false)]
fn a_secret_that_would_get_a_token_is_denied(#[case] type_: &str, #[case] is_taken: bool) {
    let grant = Grant {
        children: vec![ChildGrant {
            policy: ChildPolicy::new(kind("Secret"), OnParentDelete::Delete),
            scope: Scope::Namespaced,
            field_types: FieldTypes::default(),
        }],
        limits: Limits::default(),
        ..grant(Scope::Namespaced, OnParentDelete::Delete)
    };
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "type": type_});
    let desired = Children::desired(vec![secret.to_string()]);
    let checked = check(desired, &[], &[], &parent(Scope::Namespaced), &grant);
    assert_eq!(checked.is_ok(), is_taken, "{checked:?}");
}

#[rstest]
#[case::within(r#"{"a":1}"#, None)]
#[case::too_long(&format!(r#"{{"a":"{}"}}"#, "x".repeat(100)), Some("returned a status patch of 108 bytes, its limit is 100"))]
fn a_status_over_the_size_limit_is_denied(#[case] status: &str, #[case] told: Option<&str>) {
    let response = Response {
        status: patch(status),
        ..Response::default()
    };
    let grant = grant(Scope::Namespaced, OnParentDelete::Delete);
    let checked = check_size(&response, &grant, usize::MAX);
    match told {
        None => assert!(checked.is_ok()),
        Some(told) => assert!(checked.unwrap_err().to_string().contains(told)),
    }
}

fn patch(text: &str) -> StatusAnswer {
    StatusAnswer {
        patch: Some(text.to_owned()),
        conditions: Vec::new(),
    }
}

#[rstest]
#[case::usual("Synced", "AllThere", 1, None)]
#[case::with_a_domain("example.com/Synced", "A:b_1", 1, None)]
#[case::the_hosts(
    "Ready",
    "AllThere",
    1,
    Some("returned the condition \"Ready\", which is the host's")
)]
#[case::no_type("", "AllThere", 1, Some("which has no such type"))]
#[case::no_reason("Synced", "", 1, Some("which needs a reason"))]
#[case::a_sentence("Synced", "All there.", 1, Some("which needs a reason"))]
#[case::too_many(
    "Synced",
    "AllThere",
    33,
    Some("returned 33 conditions, its limit is 32")
)]
fn a_condition_is_one_that_the_api_server_would_take(
    #[case] type_: &str,
    #[case] reason: &str,
    #[case] count: usize,
    #[case] told: Option<&str>,
) {
    let condition = ParentCondition {
        type_: type_.to_owned(),
        status: ConditionStatus::True,
        reason: reason.to_owned(),
        message: String::new(),
    };
    let answer = StatusAnswer {
        patch: None,
        conditions: vec![condition; count],
    };
    let limits = Limits::default();
    let grant = Grant {
        limits,
        ..grant(Scope::Namespaced, OnParentDelete::Delete)
    };
    for checked in [
        check_status(&answer, &grant).map(|_| ()),
        check_failure(&answer, &grant),
    ] {
        match told {
            None => assert_eq!(checked, Ok(())),
            Some(told) => assert!(checked.unwrap_err().to_string().contains(told)),
        }
    }
}

#[rstest]
#[case::a_small_one("{\"a\":1}", None)]
#[case::a_list("[]", Some("a status patch that is no JSON object"))]
#[case::too_long(&format!("{{\"a\":\"{}\"}}", "x".repeat(300 << 10)), Some("its limit is 262144"))]
#[case::too_many_values(&format!("{{\"a\":[{}1]}}", "{},".repeat(1000)), Some("takes more than 64 KiB of memory"))]
fn what_a_failure_says_of_the_status_is_small(#[case] text: &str, #[case] told: Option<&str>) {
    let grant = Grant {
        limits: Limits::default(),
        ..grant(Scope::Namespaced, OnParentDelete::Delete)
    };
    let checked = check_failure(&patch(text), &grant);
    match told {
        None => assert_eq!(checked, Ok(())),
        Some(told) => assert!(checked.unwrap_err().to_string().contains(told)),
    }
}

#[test]
fn a_text_that_takes_much_memory_is_denied_before_it_is_parsed() {
    let limits = Limits {
        children: 100,
        child_bytes: 1 << 20,
        status_bytes: 1 << 20,
        ..Limits::default()
    };
    let grant = Grant {
        limits,
        ..grant(Scope::Namespaced, OnParentDelete::Delete)
    };
    let small = format!("[{}1]", r#"{"":0},"#.repeat(10_000));
    let within = Response {
        status: patch(&small),
        ..Response::default()
    };
    let memory = check_size(&within, &grant, usize::MAX);
    let memory = memory.unwrap().unwrap();
    assert!(memory > 6 << 20, "{memory}");
    // The host may have less.
    assert_eq!(check_size(&within, &grant, memory), Ok(Some(memory)));
    assert_eq!(check_size(&within, &grant, memory - 1), Ok(None));
    let over = Response {
        children: vec![small; 3],
        ..Response::default()
    };
    let denied = check_size(&over, &grant, usize::MAX).unwrap_err();
    assert!(
        matches!(*denied.reason, DenyReason::ParsedSize { .. }),
        "{denied}"
    );
}

#[rstest]
#[case::namespaced_child_of_cluster_parent(Scope::Cluster, CONFIG_MAP, None)]
#[case::named_namespace(Scope::Cluster, &with_metadata(r#""namespace":"b""#), Some("b/a"))]
#[case::cluster_child(Scope::Cluster, &CONFIG_MAP.replace("ConfigMap", "Node"), Some("a"))]
#[case::own_namespace_repeated(Scope::Namespaced, &with_metadata(r#""namespace":"ns""#), Some("ns/a"))]
#[case::inherited(Scope::Namespaced, CONFIG_MAP, Some("ns/a"))]
#[case::a_path_for_a_namespace(Scope::Cluster, &with_metadata(r#""namespace":"b/secrets/c?""#), None)]
#[case::the_clusters_own(Scope::Cluster, &with_metadata(r#""namespace":"kube-system""#), None)]
fn the_namespace_follows_from_both_scopes(
    #[case] scope: Scope,
    #[case] child: &str,
    #[case] key: Option<&str>,
) {
    let checked = check_in(scope, &[child]).ok();
    let found = checked.as_ref().and_then(|children| children.iter().next());
    assert_eq!(found.map(|child| child.key.to_string()).as_deref(), key);
}

#[test]
fn the_host_adds_namespace_owner_labels_and_digest() {
    let carried = with_metadata(r#""labels":{"app":"x","handler-host.dev/handler":"other"}"#);
    let checked = check_in(Scope::Namespaced, &[&carried]).unwrap();
    let child = checked.iter().next().unwrap();
    let metadata = &child.body["metadata"];
    assert_eq!(metadata["namespace"], "ns");
    assert_eq!(metadata["ownerReferences"][0]["uid"], "u1");
    assert_eq!(
        metadata["labels"],
        json!({"app": "x", MANAGED_BY_LABEL: HOST, HANDLER_LABEL: "evc", PARENT_UID_LABEL: "u1"})
    );
    assert_eq!(
        metadata["annotations"],
        json!({APPLIED_ANNOTATION: child.digest.to_string()})
    );
}

#[test]
fn an_orphan_has_no_owner_reference_but_is_still_found_by_its_labels() {
    let grant = grant(Scope::Namespaced, OnParentDelete::Orphan);
    let parent = parent(Scope::Namespaced);
    let checked = check(
        Children::desired(vec![CONFIG_MAP.to_owned()]),
        &[],
        &[],
        &parent,
        &grant,
    )
    .unwrap();
    let child = checked.iter().next().unwrap();
    assert!(child.body["metadata"].get("ownerReferences").is_none());
    let object = Object::parse(&child.kind, &child.body.to_string()).unwrap();
    let claimant = Claimant {
        parent: &parent,
        grant: &grant,
    };
    let ownership = claimant.ownership(&child.kind, &object, |_| true);
    assert_eq!(ownership, Ownership::Adoptable(Adoption::Own));
}

#[test]
fn the_order_of_fields_does_not_change_the_digest() {
    let digest = |text: &str| {
        let checked = check_in(Scope::Namespaced, &[text]).unwrap();
        checked.iter().next().map(|child| child.digest).unwrap()
    };
    let turned = r#"{"metadata":{"name":"a"},"kind":"ConfigMap","apiVersion":"v1"}"#;
    assert_eq!(digest(CONFIG_MAP), digest(turned));
}

#[rstest]
#[case::a_dns_name("a.b-1", true)]
#[case::of_a_role("system:node", true)]
#[case::longest(&"a".repeat(253), true)]
#[case::too_long(&"a".repeat(254), false)]
#[case::empty("", false)]
#[case::here(".", false)]
#[case::up("..", false)]
#[case::a_path("a/b", false)]
#[case::an_escape("a%2fb", false)]
#[case::a_query("a?force=true", false)]
#[case::a_fragment("a#b", false)]
#[case::a_space("a b", false)]
#[case::beyond_ascii("ä", false)]
fn a_name_is_what_can_stand_in_a_path(#[case] name: &str, #[case] is_name: bool) {
    assert_eq!(is_path_segment(name), is_name);
}
