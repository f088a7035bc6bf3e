//! Answers that are mostly well formed, so that they come further than most of what a fuzzer makes of bytes.

use handler_host_fuzz::answers;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn text() -> impl Strategy<Value = String> {
    const SPECIAL: &[&str] = &[
        "",
        "a",
        "b",
        "ns",
        "kube-system",
        "Ready",
        "True",
        "1Gi",
        "1024Mi",
        "0.1",
        "TCP",
        "parent-uid",
        "evc",
        "sha256:0",
        "a.b",
        "a[]",
        "\u{0}",
        "\u{1b}[31m",
        "ä",
    ];
    prop_oneof![
        4 => prop::sample::select(SPECIAL).prop_map(str::to_owned),
        1 => ".{0,8}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    const FIELDS: &[&str] = &[
        "metadata",
        "spec",
        "data",
        "status",
        "type",
        "stringData",
        "name",
        "namespace",
        "labels",
        "annotations",
        "ownerReferences",
        "creationTimestamp",
        "size",
        "sizes",
        "list",
        "set",
        "whole",
        "atomic",
        "open",
        "nullable",
        "either",
        "template",
        "within",
        "protocol",
        "text",
        "conditions",
        "lastTransitionTime",
        "handler",
        "reason",
        "message",
        "handler-host.dev/handler",
        "handler-host.dev/parent-uid",
        "handler-host.dev/applied",
    ];
    prop_oneof![
        8 => prop::sample::select(FIELDS).prop_map(str::to_owned),
        1 => text(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..100_i64).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::vec((name(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An object that names a kind and a name, whatever else it has.
fn object() -> impl Strategy<Value = Value> {
    const KINDS: &[(&str, &str)] = &[
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("tests.handler-host.dev/v1", "Thing"),
        ("tests.handler-host.dev/v2", "Thing"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ];
    const NAMES: &[&str] = &["a", "b", "c", "d"];
    let fields = prop::collection::vec((name(), value()), 0..4);
    let parts = (
        prop::sample::select(KINDS),
        prop::sample::select(NAMES),
        prop::option::weighted(
            0.3,
            prop::sample::select(&["ns", "team-a", "kube-system"][..]),
        ),
        fields,
        prop::option::weighted(0.3, (name(), value())),
        any::<bool>(),
    );
    parts.prop_map(|((api_version, kind), name, namespace, fields, metadata, is_ours)| {
        let mut object = Value::Object(fields.into_iter().collect());
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"] = json!({"name": name});
        if let Some((field, value)) = metadata {
            object["metadata"][field] = value;
            object["metadata"]["name"] = json!(name);
        }
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        if is_ours {
            object["metadata"]["uid"] = json!(format!("uid-{name}"));
            object["metadata"]["ownerReferences"] =
                json!([{"kind": "Parent", "name": "p", "uid": "parent-uid", "controller": true}]);
        }
        object
    })
}

/// A status of a parent, or a patch of it.
fn status() -> impl Strategy<Value = Value> {
    const TYPES: &[&str] = &["Ready", "Backup", "Resizing"];
    const STATES: &[&str] = &["True", "False"];
    let condition = (
        prop::sample::select(TYPES),
        prop::sample::select(STATES),
        name(),
        value(),
    );
    let condition = condition.prop_map(|(type_, state, name, value)| {
        let mut condition = json!({"type": type_, "status": state});
        condition[name] = value;
        condition
    });
    let conditions = prop_oneof![
        4 => prop::collection::vec(condition, 0..4).prop_map(Value::from),
        1 => value(),
    ];
    prop_oneof![
        1 => value(),
        3 => (conditions, name(), value()).prop_map(|(conditions, name, value)| {
            let mut status = json!({"conditions": conditions});
            status[name] = value;
            status
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold_for_answers_that_are_mostly_well_formed(
        words in prop::sample::subsequence(
            &["cluster", "deleting", "foreground", "orphan", "schemas", "tight"][..], 0..3),
        children in prop::collection::vec(object(), 0..4),
        seen in prop::collection::vec(object(), 0..4),
        made in prop::option::of(value()),
        had in prop::option::of(status()),
        status in prop::option::of(status()),
        is_waiting in any::<bool>(),
    ) {
        let mut scene = format!("is {}\n", words.join(" "));
        let lines = [("child", children), ("seen", seen), ("made", made.into_iter().collect()), ("had", had.into_iter().collect()),
            ("status", status.into_iter().collect())];
        for (word, values) in lines {
            for value in values {
                scene += &format!("{word} {value}\n");
            }
        }
        if is_waiting {
            scene += "waiting for a volume\n";
        }
        println!("{scene}");
        answers(scene.as_bytes());
    }
}
