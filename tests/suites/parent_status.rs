//! Parents with a status of their own, and parents whose status keeps nothing.

use handler_host_tests::control_plane::{follow_advice, shell};
use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::objects::kinds::{CONFIG_MAP, EVENT, ResourceKind};
use handler_host_tests::objects::{condition, object};
use handler_host_tests::{
    ControlPlane, DEADLINE, Hosted, Namespace, Operator, TestAccount, eventually, paths,
};
use serde_json::{Value, json};

const SECRET: ResourceKind = ("v1", "Secret");
const SERVICE: ResourceKind = ("v1", "Service");
const SPEC: &str = "tests.handler-host.dev/spec";

/// The spec of a Handler of these parents, whose annotation says what the handler does.
fn handler_of(parent: &Value) -> Value {
    let children = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
    let kind = json!({"apiVersion": parent["apiVersion"], "kind": parent["kind"]});
    json!({
        "module": {"path": paths::guest("puppet").unwrap()},
        "parent": parent, "children": children, "config": {"parent": kind, "children": children},
    })
}

fn service(name: &str, spec: &Value) -> Value {
    let mut service = object(
        "v1",
        "Service",
        name,
        &json!({"spec": {"ports": [{"port": 80}]}}),
    );
    service["metadata"]["annotations"] = json!({SPEC: spec.to_string()});
    service
}

/// Gives the host the rights that it says it lacks.
async fn grant(hosted: &mut Hosted) {
    let line = hosted.operator.wait_for_line("grant it: ", DEADLINE).await;
    follow_advice(&line).await;
}

/// The messages of the Events on an object.
async fn events(namespace: &Namespace, name: &str) -> Vec<String> {
    let events = namespace.list(EVENT).await;
    let of_object = events
        .iter()
        .filter(|event| event["regarding"]["name"] == name);
    of_object
        .map(|event| format!("{}: {}", event["reason"], event["note"]))
        .collect()
}

#[tokio::test]
async fn the_status_of_kubernetes_own_kinds_is_left_alone() {
    let mut hosted = Hosted::start("own-status").await;
    let parent = json!({"apiVersion": SERVICE.0, "kind": SERVICE.1});
    hosted.apply("service", &handler_of(&parent)).await;
    grant(&mut hosted).await;
    hosted
        .wait_for("service", "it serves", |found| {
            condition(found, "Ready").is_some_and(|it| it["status"] == "True")
        })
        .await;
    let mark = hosted.mark();
    let namespace = &hosted.namespace;
    namespace
        .apply(&service("a", &desire_entry("child", "a")))
        .await
        .unwrap();
    let has = |value: &'static str| move |found: &Value| found["data"]["key"] == value;
    namespace
        .wait_for(CONFIG_MAP, "child", "made", DEADLINE, has("a"))
        .await;
    eventually("one Event tells of it", DEADLINE, async || {
        let events = events(namespace, "a").await;
        if events.len() == 1 {
            Ok(())
        } else {
            Err(events.join("; "))
        }
    })
    .await;
    namespace
        .apply(&service("a", &desire_entry("child", "b")))
        .await
        .unwrap();
    namespace
        .wait_for(CONFIG_MAP, "child", "changed", DEADLINE, has("b"))
        .await;
    namespace
        .apply(&service(
            "a",
            &json!({"do": "permanent", "message": "no more"}),
        ))
        .await
        .unwrap();
    eventually("the failure has an Event", DEADLINE, async || {
        let events = events(namespace, "a").await;
        let is_told = events.iter().any(|event| event.contains("no more"));
        if is_told && events.len() == 2 {
            Ok(())
        } else {
            Err(events.join("; "))
        }
    })
    .await;
    let found = namespace.get(SERVICE, "a").await.unwrap();
    assert_eq!(found["status"], json!({"loadBalancer": {}}));
    let writes = hosted.requests(&mark).await.writes().resource("services");
    assert_eq!(writes.count(), 0, "{writes}");
    // The host serves one namespace.
    assert!(hosted.operator.lines_with("BroadGrant").is_empty());
}

#[tokio::test]
async fn an_administrator_may_ask_for_conditions_and_a_kind_that_keeps_none_is_told_once() {
    let mut hosted = Hosted::start("no-status").await;
    let parent = json!({"apiVersion": SECRET.0, "kind": SECRET.1, "status": "Conditions"});
    hosted.apply("secret", &handler_of(&parent)).await;
    grant(&mut hosted).await;
    let secret = |name: &str| {
        let mut secret = object("v1", "Secret", name, &json!({}));
        secret["metadata"]["annotations"] = json!({SPEC: desire_entry(name, "a").to_string()});
        secret
    };
    let mark = hosted.mark();
    let namespace = &hosted.namespace;
    for name in ["a", "b", "c"] {
        namespace.apply(&secret(name)).await.unwrap();
        let is_made = |found: &Value| found["data"]["key"] == "a";
        namespace
            .wait_for(CONFIG_MAP, name, "made", DEADLINE, is_made)
            .await;
        eventually("an Event tells of it", DEADLINE, async || {
            let events = events(namespace, name).await;
            if events.len() == 1 {
                Ok(())
            } else {
                Err(events.join("; "))
            }
        })
        .await;
    }
    let told = hosted.operator.lines_with("StatusDropped");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("drops status.conditions, status.handlers of v1 Secret"),
        "{told:?}"
    );
    let writes = hosted.requests(&mark).await.writes().resource("secrets");
    assert_eq!(writes.count(), 1, "{writes}");
}

/// A kind whose status has conditions without some fields, and no handler.
fn widgets() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "status": {"type": "object", "properties": {"conditions": {"type": "array", "items": {
            "type": "object", "properties": {
                "type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"},
                "message": {"type": "string"},
            },
        }}}},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

#[tokio::test]
async fn what_the_schema_of_a_custom_resource_drops_costs_nothing_and_the_rest_is_kept() {
    let crd = widgets();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("crd.yaml");
    std::fs::write(&path, crd.to_string()).unwrap();
    let control_plane = ControlPlane::own(vec![path]).await;
    let namespace = Namespace::create(&control_plane, "widgets").await;
    let operator = Operator::of(&control_plane, TestAccount::Admin)
        .module(paths::guest("puppet").unwrap())
        .arg("--config")
        .arg("parent={apiVersion: example.com/v1, kind: Widget}")
        .start();
    let widget = |value: &str| {
        object(
            "example.com/v1",
            "Widget",
            "a",
            &json!({"spec": desire_entry("a", value)}),
        )
    };
    let kind: ResourceKind = ("example.com/v1", "Widget");
    let mark = control_plane.audit().mark();
    for value in ["a", "b", "c"] {
        namespace.apply(&widget(value)).await.unwrap();
        let is_made = |found: &Value| found["data"]["key"] == value;
        namespace
            .wait_for(CONFIG_MAP, "a", "made", DEADLINE, is_made)
            .await;
        namespace
            .wait_for_ready(kind, "a", "True", "Reconciled", DEADLINE)
            .await;
    }
    let told = operator.lines_with("StatusDropped");
    assert_eq!(told.len(), 1, "{}", operator.log());
    let fields = "status.conditions[].lastTransitionTime, status.conditions[].observedGeneration, status.handlers";
    assert!(told[0].contains(fields), "{told:?}");
    let requests = control_plane
        .audit_since(&mark)
        .await
        .by(TestAccount::Admin.user());
    let writes = requests.writes().resource("widgets").subresource("status");
    assert_eq!(writes.count(), 1, "{writes}");
}

#[tokio::test]
async fn a_kind_that_was_begun_with_the_printed_definition_keeps_all_that_the_host_writes() {
    const THING: ResourceKind = ("many.tests.handler-host.dev/v1", "Thing73");
    let hosted = Hosted::start("begun").await;
    let kind = format!("{}/{}", THING.0, THING.1);
    // kubectl prints a warning on standard error.
    let line = format!("handler-host crd --parent {kind} | kubectl apply -f -");
    let output = shell(&line, TestAccount::Admin).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stderr, "");
    hosted.install_owner(THING.1).await;
    let parent = json!({"apiVersion": THING.0, "kind": THING.1});
    hosted.apply("thing", &handler_of(&parent)).await;
    let spec = json!({"do": "apply", "status": {"phase": "Grown", "sizes": [1, 2]}});
    let thing = object(THING.0, THING.1, "a", &json!({"spec": spec}));
    let namespace = &hosted.namespace;
    namespace.apply(&thing).await.unwrap();
    let found = namespace
        .wait_for_ready(THING, "a", "True", "Reconciled", DEADLINE)
        .await;
    let status = &found["status"];
    assert_eq!(status["phase"], "Grown");
    assert_eq!(status["conditions"][0]["observedGeneration"], 1);
    assert!(status["handlers"].is_object(), "{status}");
    assert!(hosted.operator.lines_with("StatusDropped").is_empty());
}
