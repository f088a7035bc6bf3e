//! Several Handlers for one kind of parent, each with a condition of its own.

use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET};
use handler_host_tests::objects::{condition, config_map, object, text};
use handler_host_tests::{DEADLINE, Hosted, eventually, paths};
use serde_json::{Value, json};

/// The spec of a Handler of Puppets with this condition. The children of `do: echo` have its name as their suffix.
fn handler_of(condition: &str, finalizer: bool) -> Value {
    let parent = json!({"apiVersion": PUPPET.0, "kind": PUPPET.1});
    let children = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
    json!({
        "module": {"path": paths::guest("puppet").unwrap()},
        "parent": {"apiVersion": PUPPET.0, "kind": PUPPET.1, "condition": condition},
        "children": children,
        "config": {
            "parent": parent, "children": children, "finalizer": finalizer, "suffix": format!("-{}", condition.to_lowercase()),
        },
    })
}

/// Two Handlers of Puppets, which write the conditions `Ready` and `Synced`.
async fn served(prefix: &str, finalizer: bool) -> Hosted {
    let hosted = Hosted::start(prefix).await;
    for (name, condition) in [("one", "Ready"), ("two", "Synced")] {
        hosted.apply(name, &handler_of(condition, finalizer)).await;
        hosted.told(name, "Ready", "True", "Serving").await;
    }
    hosted
}

async fn put(hosted: &Hosted, spec: &Value) {
    let puppet = object(PUPPET.0, PUPPET.1, "p", &json!({"spec": spec}));
    hosted.namespace.apply(&puppet).await.unwrap();
}

/// Waits until both conditions of the Puppet have these reasons in its present generation.
async fn told(hosted: &Hosted, ready: &str, synced: &str) -> Value {
    let is = |puppet: &Value| {
        [("Ready", ready), ("Synced", synced)]
            .iter()
            .all(|(type_, reason)| {
                condition(puppet, type_).is_some_and(|it| {
                    it["reason"] == *reason
                        && it["observedGeneration"] == puppet["metadata"]["generation"]
                })
            })
    };
    let what = format!("Ready says {ready} and Synced says {synced}");
    let namespace = &hosted.namespace;
    namespace.wait_for(PUPPET, "p", &what, DEADLINE, is).await
}

#[tokio::test]
async fn each_handler_has_its_condition_its_children_and_its_place_in_the_status() {
    let hosted = served("two-handlers", false).await;
    put(&hosted, &json!({"do": "echo"})).await;
    let puppet = told(&hosted, "Reconciled", "Reconciled").await;
    let handlers = puppet["status"]["handlers"].as_object().unwrap();
    let conditions: Vec<_> = handlers.values().map(|it| text(&it["condition"])).collect();
    assert_eq!(conditions, ["Ready", "Synced"]);
    let namespace = &hosted.namespace;
    for (handler, name) in [("one", "p-ready"), ("two", "p-synced")] {
        let child = namespace.get(CONFIG_MAP, name).await.unwrap();
        let labels = &child["metadata"]["labels"];
        assert_eq!(labels["handler-host.dev/handler"], hosted.name(handler));
    }
    // Once both are done, nothing is written any more.
    let since = hosted.mark();
    put(&hosted, &json!({"do": "permanent", "message": "no"})).await;
    told(&hosted, "PermanentFailure", "PermanentFailure").await;
    let writes = async || {
        let requests = hosted.requests(&since).await;
        requests.writes().resource("puppets").count()
    };
    let settled = writes().await;
    assert!(settled <= 6, "{settled}");
    let quiet = object("v1", "ConfigMap", "witness", &json!({}));
    namespace.apply(&quiet).await.unwrap();
    assert_eq!(writes().await, settled);
}

#[tokio::test]
async fn a_child_that_both_desire_is_the_firsts_and_the_other_says_whose() {
    let hosted = served("two-desires", false).await;
    put(&hosted, &desire_entry("shared", "x")).await;
    let is = |puppet: &Value| {
        let reasons = ["Ready", "Synced"].map(|type_| {
            condition(puppet, type_).map_or_else(String::new, |it| text(&it["reason"]))
        });
        reasons.contains(&"Reconciled".to_owned()) && reasons.contains(&"Conflict".to_owned())
    };
    let namespace = &hosted.namespace;
    let what = "one has it, and the other says so";
    let puppet = namespace.wait_for(PUPPET, "p", what, DEADLINE, is).await;
    let (first, second) = if condition(&puppet, "Ready").unwrap()["reason"] == "Reconciled" {
        ("one", "Synced")
    } else {
        ("two", "Ready")
    };
    let message = text(&condition(&puppet, second).unwrap()["message"]);
    let told = format!("it is a child of the handler {}", hosted.name(first));
    assert!(message.contains(&told), "{message}");
    // When the first desires it no more, the second gets it.
    hosted.delete(first).await;
    let child = namespace.get(CONFIG_MAP, "shared").await.unwrap();
    assert_eq!(child["data"]["key"], "x");
}

#[tokio::test]
async fn a_condition_has_one_handler_and_another_condition_frees_it() {
    let hosted = Hosted::start("one-condition").await;
    hosted.apply("one", &handler_of("Ready", false)).await;
    hosted.told("one", "Ready", "True", "Serving").await;
    hosted.apply("two", &handler_of("Ready", false)).await;
    let message = hosted.told("two", "Ready", "False", "ParentTaken").await;
    let expected = format!(
        "handler `{}` writes the condition Ready of {} {} already; give this Handler another spec.parent.condition, or delete that one",
        hosted.name("one"),
        PUPPET.0,
        PUPPET.1
    );
    assert_eq!(message, expected);
    hosted.apply("two", &handler_of("Synced", false)).await;
    hosted.told("two", "Ready", "True", "Serving").await;
}

#[tokio::test]
async fn each_handler_has_its_finalizer_and_one_that_goes_takes_only_its_own() {
    let hosted = served("two-finalizers", true).await;
    put(
        &hosted,
        &json!({"do": "echo", "onDelete": [config_map("last", "key", "x")]}),
    )
    .await;
    told(&hosted, "Reconciled", "Reconciled").await;
    let finalizers = async || {
        let puppet = hosted.namespace.get(PUPPET, "p").await.unwrap();
        let list = puppet["metadata"]["finalizers"].as_array().cloned();
        list.unwrap_or_default()
            .iter()
            .map(text)
            .collect::<Vec<_>>()
    };
    assert_eq!(finalizers().await.len(), 2);
    hosted.delete("two").await;
    let ours = format!("handler-host.dev/{}", hosted.name("one"));
    eventually("one finalizer is left", DEADLINE, async || {
        let left = finalizers().await;
        if left == [ours.clone()] {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
    assert!(hosted.namespace.get(CONFIG_MAP, "p-ready").await.is_some());
}
