//! What a handler may return, rule by rule.

use handler_host_tests::namespace::{CONFIG_MAP, PUPPET};
use handler_host_tests::objects::{config_map, object};
use handler_host_tests::{ControlPlane, Identity};
use serde_json::{Value, json};

use crate::stage::{Stage, desire, desire_entry};

/// A response that breaks a rule: its name, the spec that leads to it, and what the condition says.
type Offence = (&'static str, Value, String);

fn offences(namespace: &str) -> Vec<Offence> {
    let mut offences = whole_responses();
    offences.extend(single_children(namespace));
    offences.extend(fields());
    for (_, _, message) in &mut offences {
        message.insert_str(0, "handler `puppet` ");
    }
    offences
}

fn whole_responses() -> Vec<Offence> {
    let not_an_object = |rule: &str| {
        format!(
            "returned child 0, which is no Kubernetes object in JSON ({rule}); return an object with apiVersion, kind and metadata.name"
        )
    };
    vec![
        (
            "flood",
            json!({"do": "flood", "count": 101}),
            "returned 101 children, its limit is 100; return fewer".to_owned(),
        ),
        (
            "huge",
            json!({"do": "huge", "bytes": 256 << 10}),
            // The text, and the ConfigMap around it.
            "returned a child of 262228 bytes, its limit is 262144; make it smaller".to_owned(),
        ),
        (
            "garbage",
            json!({"do": "garbage"}),
            not_an_object("EOF while parsing a string at line 1 column 16"),
        ),
        (
            "list",
            json!({"do": "garbage", "text": "[]"}),
            not_an_object("invalid type: sequence, expected a map at line 1 column 0"),
        ),
        (
            "kindless",
            json!({"do": "garbage", "text": r#"{"apiVersion": "v1", "metadata": {"name": "a"}}"#}),
            not_an_object(r#"kind "" is not a CamelCase word; write it as objects do, such as `ConfigMap`"#),
        ),
        (
            "metadataless",
            json!({"do": "garbage", "text": r#"{"apiVersion": "v1", "kind": "ConfigMap"}"#}),
            not_an_object("metadata is missing"),
        ),
        (
            "status-patch",
            json!({"do": "apply", "status": ["not", "an", "object"], "children": [config_map("status-patch-new", "key", "a")]}),
            r#"returned a status patch that is no JSON object (invalid type: sequence, expected a map at line 1 column 0); return an object such as {"size": "1G"}"#.to_owned(),
        ),
    ]
}

/// One bad child between two good ones.
fn among_good_ones(name: &str, child: Value) -> Value {
    let good = |suffix: &str| config_map(&format!("{name}-{suffix}"), "key", "a");
    desire(&[good("new"), child, good("newer")])
}

fn single_children(namespace: &str) -> Vec<Offence> {
    let mut elsewhere = config_map("elsewhere-new", "key", "a");
    elsewhere["metadata"]["namespace"] = json!("default");
    let mut labelled = config_map("labels-bad", "key", "a");
    labelled["metadata"]["labels"] = json!({"count": 1});
    let children = [
        (
            "kind",
            object("v1", "Secret", "kind-new", &json!({})),
            "may not apply v1 Secret, which it does not describe; let `describe` name it, or drop the child".to_owned(),
        ),
        (
            "version",
            object("v2", "ConfigMap", "version-bad", &json!({})),
            "may not apply v2 ConfigMap, which it does not describe; let `describe` name it, or drop the child".to_owned(),
        ),
        (
            "elsewhere",
            elsewhere,
            format!("returned v1 ConfigMap elsewhere-new in namespace \"default\", its parent lives in \"{namespace}\"; drop metadata.namespace"),
        ),
        (
            "escape",
            config_map("a%2fb", "key", "a"),
            "returned v1 ConfigMap with the name \"a%2fb\", which cannot stand in a path; use at most 253 letters, digits, `-`, `.`, `_` and `:`".to_owned(),
        ),
        (
            "path",
            config_map("../secrets/a", "key", "a"),
            "returned v1 ConfigMap with the name \"../secrets/a\", which cannot stand in a path; use at most 253 letters, digits, `-`, `.`, `_` and `:`".to_owned(),
        ),
        (
            "nameless",
            config_map("", "key", "a"),
            "returned v1 ConfigMap with the name \"\", which cannot stand in a path; use at most 253 letters, digits, `-`, `.`, `_` and `:`".to_owned(),
        ),
        (
            "twice",
            config_map("twice-new", "key", "b"),
            format!("returned v1 ConfigMap {namespace}/twice-new twice; return each child once"),
        ),
        (
            "labels",
            labelled,
            "returned child 1, which is no Kubernetes object in JSON (metadata.labels is not a map of strings); return an object with apiVersion, kind and metadata.name".to_owned(),
        ),
    ];
    let among = |(name, child, message)| (name, among_good_ones(name, child), message);
    children.map(among).into()
}

fn fields() -> Vec<Offence> {
    let fields = [
        ("owners", "ownerReferences", json!([]), "the host sets"),
        (
            "finalizers",
            "finalizers",
            json!(["a/b"]),
            "could keep the child from being deleted",
        ),
        (
            "generate-name",
            "generateName",
            json!("a-"),
            "would name a new child at every call",
        ),
        ("uid", "uid", json!("1"), "the API server sets"),
        (
            "resource-version",
            "resourceVersion",
            json!("1"),
            "the API server sets",
        ),
        ("generation", "generation", json!(1), "the API server sets"),
        (
            "creation",
            "creationTimestamp",
            json!("2000-01-01T00:00:00Z"),
            "the API server sets",
        ),
        (
            "deletion",
            "deletionTimestamp",
            json!("2000-01-01T00:00:00Z"),
            "the API server sets",
        ),
    ];
    let mut offences: Vec<Offence> = fields
        .into_iter()
        .map(|(name, field, value, whose)| {
            let mut child = config_map(&format!("{name}-bad"), "key", "a");
            child["metadata"][field] = value;
            let message = format!(
                "returned v1 ConfigMap {name}-bad with `metadata.{field}`, which {whose}; drop it"
            );
            (name, among_good_ones(name, child), message)
        })
        .collect();
    let mut child = config_map("status-bad", "key", "a");
    child["status"] = json!({});
    let message = "returned v1 ConfigMap status-bad with `status`, which belongs to the child's own controller; drop it";
    offences.push((
        "status",
        among_good_ones("status", child),
        message.to_owned(),
    ));
    offences
}

#[tokio::test]
async fn nothing_of_a_response_outside_the_grant_is_written_until_it_is_mended() {
    let stage = Stage::set("denied").await;
    let offences = offences(&stage.namespace.name);
    let mut before = Vec::new();
    for (name, _, _) in &offences {
        stage.puppet(name, &desire_entry(name, "before")).await;
    }
    for (name, _, _) in &offences {
        stage.served(name).await;
        before.push(stage.version(name).await);
    }

    let mark = stage.mark();
    for (name, spec, _) in &offences {
        stage.puppet(name, spec).await;
    }
    for (name, _, message) in &offences {
        assert_eq!(stage.outcome(name, "False", "Denied").await, *message);
    }
    stage.while_others_are_called().await;
    let writes = stage.child_writes(&mark).await;
    assert_eq!(writes.count(), 0, "{writes}");
    let audit = ControlPlane::shared().await.audit_since(&mark).await;
    let elsewhere = audit.by(Identity::Host.user()).only(|entry| {
        entry.name.starts_with("elsewhere") && entry.namespace != stage.namespace.name
    });
    assert_eq!(elsewhere.count(), 0, "{elsewhere}");
    for ((name, _, _), before) in offences.iter().zip(&before) {
        assert_eq!(stage.version(name).await, *before, "{name}");
    }
    let left = stage.namespace.list(CONFIG_MAP).await;
    assert_eq!(left.len(), offences.len(), "each has its own and no other");

    for (name, _, _) in &offences {
        stage.puppet(name, &desire_entry(name, "mended")).await;
    }
    for (name, _, _) in &offences {
        stage.entry(name, "mended").await;
        stage.served(name).await;
    }
}

#[tokio::test]
async fn a_denied_parent_is_called_again_only_when_something_changes() {
    let stage = Stage::set("denied-calls").await;
    stage.puppet("a", &desire_entry("a", "before")).await;
    stage.served("a").await;
    let before = stage.calls("a").len();

    stage.puppet("a", &json!({"do": "garbage"})).await;
    stage.outcome("a", "False", "Denied").await;
    stage.while_others_are_called().await;
    assert_eq!(
        stage.calls("a").len(),
        before + 1,
        "{}",
        stage.operator.log()
    );

    let edit = json!({"data": {"key": "edited"}});
    stage.namespace.merge(CONFIG_MAP, "a", &edit).await.unwrap();
    stage.wait_for_calls("a", before + 2).await;
    stage.entry("a", "edited").await;
}

#[tokio::test]
async fn a_denial_is_an_event_of_type_warning_told_once() {
    let stage = Stage::set("denied-event").await;
    stage
        .puppet("a", &json!({"do": "flood", "count": 101}))
        .await;
    stage.outcome("a", "False", "Denied").await;
    stage.wait_for_events("a", 1).await;
    // A change of the parent that changes nothing about the verdict.
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    stage.namespace.merge(PUPPET, "a", &label).await.unwrap();
    stage.wait_for_calls("a", 2).await;
    stage.while_others_are_called().await;
    let told =
        "Warning Denied: handler `puppet` returned 101 children, its limit is 100; return fewer";
    assert_eq!(stage.events("a").await, [told]);
}
