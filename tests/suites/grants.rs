//! The rules for what a handler may return, one by one.

use handler_host_tests::guests::puppets::{desire, desire_entry};
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET};
use handler_host_tests::objects::{config_map, object};
use handler_host_tests::{ControlPlane, PuppetNamespace, TestAccount};
use serde_json::{Value, json};

/// A response that breaks a rule: its name, the spec of the Puppet that returns it, and the message of the condition.
type BrokenRule = (&'static str, Value, String);

fn broken_rules(namespace: &str) -> Vec<BrokenRule> {
    let mut broken_rules = whole_responses();
    broken_rules.extend(single_children(namespace));
    broken_rules.extend(fields());
    for (_, _, message) in &mut broken_rules {
        message.insert_str(0, "handler `puppet` ");
    }
    broken_rules
}

fn whole_responses() -> Vec<BrokenRule> {
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
            // The size is that of the text and of the ConfigMap around it.
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
            not_an_object(r#"kind "" is not made of at most 63 letters, digits and `-`, beginning with a letter; write it as objects do, such as `ConfigMap`"#),
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

/// A spec of one bad child between two good ones.
fn among_good_ones(name: &str, child: Value) -> Value {
    let good = |suffix: &str| config_map(&format!("{name}-{suffix}"), "key", "a");
    desire(&[good("new"), child, good("newer")])
}

fn single_children(namespace: &str) -> Vec<BrokenRule> {
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

fn fields() -> Vec<BrokenRule> {
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
    let mut broken_rules: Vec<BrokenRule> = fields
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
    child["status"] = json!({"phase": "Bound"});
    let message = "returned v1 ConfigMap status-bad with `status`, which belongs to the child's own controller; drop it";
    broken_rules.push((
        "status",
        among_good_ones("status", child),
        message.to_owned(),
    ));
    broken_rules
}

#[tokio::test]
async fn nothing_of_a_response_outside_the_grant_is_written_until_it_is_mended() {
    let puppets = PuppetNamespace::serve("denied").await;
    let broken_rules = broken_rules(&puppets.namespace.name);
    let mut before = Vec::new();
    for (name, _, _) in &broken_rules {
        puppets.apply(name, &desire_entry(name, "before")).await;
    }
    for (name, _, _) in &broken_rules {
        puppets.served(name).await;
        before.push(puppets.version(name).await);
    }

    let mark = puppets.mark();
    for (name, spec, _) in &broken_rules {
        puppets.apply(name, spec).await;
    }
    for (name, _, message) in &broken_rules {
        assert_eq!(puppets.outcome(name, "False", "Denied").await, *message);
    }
    puppets.while_others_are_called().await;
    let writes = puppets.child_writes(&mark).await;
    assert_eq!(writes.count(), 0, "{writes}");
    let audit = ControlPlane::shared().await.audit_since(&mark).await;
    let elsewhere = audit.by(TestAccount::Host.user()).only(|entry| {
        entry.name.starts_with("elsewhere") && entry.namespace != puppets.namespace.name
    });
    assert_eq!(elsewhere.count(), 0, "{elsewhere}");
    for ((name, _, _), before) in broken_rules.iter().zip(&before) {
        assert_eq!(puppets.version(name).await, *before, "{name}");
    }
    let left = puppets.namespace.list(CONFIG_MAP).await;
    assert_eq!(
        left.len(),
        broken_rules.len(),
        "each has its own and no other"
    );

    for (name, _, _) in &broken_rules {
        puppets.apply(name, &desire_entry(name, "mended")).await;
    }
    for (name, _, _) in &broken_rules {
        puppets.entry(name, "mended").await;
        puppets.served(name).await;
    }
}

#[tokio::test]
async fn a_denied_parent_is_called_again_only_when_something_changes() {
    let puppets = PuppetNamespace::serve("denied-calls").await;
    puppets.apply("a", &desire_entry("a", "before")).await;
    puppets.served("a").await;
    let before = puppets.calls("a").len();

    puppets.apply("a", &json!({"do": "garbage"})).await;
    puppets.outcome("a", "False", "Denied").await;
    puppets.while_others_are_called().await;
    assert_eq!(
        puppets.calls("a").len(),
        before + 1,
        "{}",
        puppets.operator.log()
    );

    let edit = json!({"data": {"key": "edited"}});
    puppets
        .namespace
        .merge(CONFIG_MAP, "a", &edit)
        .await
        .unwrap();
    puppets.wait_for_calls("a", before + 2).await;
    puppets.entry("a", "edited").await;
}

#[tokio::test]
async fn a_denial_is_an_event_of_type_warning_told_once() {
    let puppets = PuppetNamespace::serve("denied-event").await;
    puppets
        .apply("a", &json!({"do": "flood", "count": 101}))
        .await;
    puppets.outcome("a", "False", "Denied").await;
    puppets.wait_for_events("a", 1).await;
    // The parent changes, but the condition stays the same.
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    puppets.namespace.merge(PUPPET, "a", &label).await.unwrap();
    puppets.wait_for_calls("a", 2).await;
    puppets.while_others_are_called().await;
    let told =
        "Warning Denied: handler `puppet` returned 101 children, its limit is 100; return fewer";
    assert_eq!(puppets.events("a").await, [told]);
}
