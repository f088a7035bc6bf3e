//! What becomes of children that are desired otherwise: changed in place, made again, left, or kept by the handler.

use handler_host_tests::guests::puppets::{desire, desire_entry};
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET};
use handler_host_tests::objects::{condition, config_map, puppet, text};
use handler_host_tests::{DEADLINE, Hosted, paths};
use serde_json::{Value, json};

/// A host that serves Puppets whose ConfigMaps are treated so.
async fn served(prefix: &str, policy: &Value) -> Hosted {
    let hosted = Hosted::start(prefix).await;
    let parent = json!({"apiVersion": PUPPET.0, "kind": PUPPET.1});
    let child = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let mut granted = child.clone();
    for (field, value) in policy.as_object().unwrap() {
        granted[field] = value.clone();
    }
    let spec = json!({
        "module": {"path": paths::guest("puppet").unwrap()},
        "parent": parent,
        "children": [granted],
        "config": {"parent": parent, "children": [child]},
    });
    hosted.apply("puppet", &spec).await;
    hosted.told("puppet", "Ready", "True", "Serving").await;
    hosted
}

async fn apply(hosted: &Hosted, spec: &Value) {
    let applied = hosted.namespace.apply(&puppet("p", spec.clone())).await;
    applied.unwrap();
}

/// Waits until the entry of a ConfigMap is this, and the Puppet says so. Returns the uid of the ConfigMap.
async fn entry(hosted: &Hosted, name: &str, value: &str) -> String {
    let namespace = &hosted.namespace;
    let is = |found: &Value| found["data"]["key"] == value;
    let what = format!("its entry is {value}");
    let found = namespace
        .wait_for(CONFIG_MAP, name, &what, DEADLINE, is)
        .await;
    settled(hosted).await;
    text(&found["metadata"]["uid"])
}

/// Waits until the Puppet is as it should be in its present generation.
async fn settled(hosted: &Hosted) {
    let is = |puppet: &Value| {
        condition(puppet, "Ready").is_some_and(|ready| {
            ready["reason"] == "Reconciled"
                && ready["observedGeneration"] == puppet["metadata"]["generation"]
        })
    };
    let namespace = &hosted.namespace;
    namespace
        .wait_for(PUPPET, "p", "served as it is now", DEADLINE, is)
        .await;
}

#[tokio::test]
async fn a_child_that_is_recreated_is_another_object_and_an_edited_one_is_restored() {
    let hosted = served("recreate", &json!({"update": "Recreate"})).await;
    apply(&hosted, &desire_entry("a", "1")).await;
    let first = entry(&hosted, "a", "1").await;
    apply(&hosted, &desire_entry("a", "2")).await;
    let second = entry(&hosted, "a", "2").await;
    assert_ne!(first, second);
    let edit = json!({"data": {"key": "edited"}});
    let namespace = &hosted.namespace;
    namespace.merge(CONFIG_MAP, "a", &edit).await.unwrap();
    assert_eq!(entry(&hosted, "a", "2").await, second);
}

#[tokio::test]
async fn no_more_children_than_may_be_are_missing_while_they_are_recreated() {
    let hosted = served(
        "recreate-many",
        &json!({"update": "Recreate", "maxUnavailable": 2}),
    )
    .await;
    let all = |value: &str| {
        let children: Vec<_> = (0..6)
            .map(|index| config_map(&format!("c-{index}"), "key", value))
            .collect();
        desire(&children)
    };
    apply(&hosted, &all("1")).await;
    entry(&hosted, "c-5", "1").await;
    // A finalizer holds those that are deleted, so that they can be counted.
    let hold = json!({"metadata": {"finalizers": ["tests.handler-host.dev/hold"]}});
    let namespace = &hosted.namespace;
    for index in 0..6 {
        let name = format!("c-{index}");
        namespace.merge(CONFIG_MAP, &name, &hold).await.unwrap();
    }
    apply(&hosted, &all("2")).await;
    let message = async || {
        let puppet = namespace
            .wait_for_ready(PUPPET, "p", "False", "Waiting", DEADLINE)
            .await;
        text(&condition(&puppet, "Ready").unwrap()["message"])
    };
    let told = message().await;
    assert!(
        told.contains("is being deleted; it is made again when it is gone"),
        "{told}"
    );
    let let_go = json!({"metadata": {"finalizers": null}});
    let mut rounds = 0;
    loop {
        let maps = namespace.list(CONFIG_MAP).await;
        let ours = maps
            .iter()
            .filter(|it| text(&it["metadata"]["name"]).starts_with("c-"));
        let going: Vec<_> = ours
            .filter(|it| it["metadata"]["deletionTimestamp"].is_string())
            .map(|it| text(&it["metadata"]["name"]))
            .collect();
        assert!(going.len() <= 2, "{going:?}");
        if rounds == 6 {
            break;
        }
        if let Some(name) = going.first() {
            namespace.merge(CONFIG_MAP, name, &let_go).await.unwrap();
            entry_of_new(&hosted, name).await;
            rounds += 1;
        }
    }
    settled(&hosted).await;
}

#[tokio::test]
async fn a_child_that_is_recreated_again_and_again_is_told_and_slows_down() {
    let hosted = served("recreate-loop", &json!({"update": "Recreate"})).await;
    apply(&hosted, &json!({"do": "alternate"})).await;
    let namespace = &hosted.namespace;
    namespace
        .wait_for_ready(PUPPET, "p", "False", "Unstable", DEADLINE)
        .await;
    apply(&hosted, &desire_entry("p", "still")).await;
    entry(&hosted, "p", "still").await;
}

/// Waits until a ConfigMap was made again.
async fn entry_of_new(hosted: &Hosted, name: &str) {
    let is = |found: &Value| found["data"]["key"] == "2";
    let namespace = &hosted.namespace;
    namespace
        .wait_for(CONFIG_MAP, name, "made again", DEADLINE, is)
        .await;
}

#[tokio::test]
async fn a_child_that_is_never_updated_stays_as_it_was_made_and_is_made_again_when_it_is_gone() {
    let hosted = served("never", &json!({"update": "Never"})).await;
    apply(&hosted, &desire_entry("a", "1")).await;
    let first = entry(&hosted, "a", "1").await;
    apply(&hosted, &desire_entry("a", "2")).await;
    settled(&hosted).await;
    assert_eq!(entry(&hosted, "a", "1").await, first);
    let namespace = &hosted.namespace;
    namespace.delete(CONFIG_MAP, "a").await.unwrap();
    entry(&hosted, "a", "2").await;
    // What is not desired any more goes.
    apply(&hosted, &desire(&[])).await;
    namespace.wait_until_gone(CONFIG_MAP, "a", DEADLINE).await;
}

#[tokio::test]
async fn a_handler_keeps_children_as_they_are_and_cannot_keep_what_is_not_there() {
    let hosted = served("keep", &json!({})).await;
    let both = [config_map("a", "key", "1"), config_map("b", "key", "1")];
    apply(&hosted, &desire(&both)).await;
    entry(&hosted, "b", "1").await;
    let kept = json!({"do": "apply", "children": [config_map("a", "key", "2")], "keep": ["b"]});
    apply(&hosted, &kept).await;
    entry(&hosted, "a", "2").await;
    entry(&hosted, "b", "1").await;
    let missing = json!({"do": "apply", "children": [config_map("a", "key", "3")], "keep": ["c"]});
    apply(&hosted, &missing).await;
    let namespace = &hosted.namespace;
    let denied = namespace
        .wait_for_ready(PUPPET, "p", "False", "Denied", DEADLINE)
        .await;
    let message = text(&condition(&denied, "Ready").unwrap()["message"]);
    let told = "which is not among the parent's children; return it as a desired child, or drop it";
    assert!(message.contains(told), "{message}");
    let found = namespace.get(CONFIG_MAP, "a").await.unwrap();
    assert_eq!(found["data"]["key"], "2");
    assert!(namespace.get(CONFIG_MAP, "b").await.is_some());
}

#[tokio::test]
async fn a_failure_says_what_the_status_is_to_say_and_conditions_are_merged_by_type() {
    let hosted = served("failure-status", &json!({})).await;
    let synced = json!({"type": "Synced", "holds": true, "reason": "AllThere", "message": "m"});
    let well = json!({"do": "apply", "status": {"phase": "Up"}, "conditions": [synced]});
    apply(&hosted, &well).await;
    settled(&hosted).await;
    let namespace = &hosted.namespace;
    let puppet = namespace.get(PUPPET, "p").await.unwrap();
    let before = condition(&puppet, "Synced").unwrap().clone();
    assert_eq!(before["status"], "True");
    assert_eq!(
        before["observedGeneration"],
        puppet["metadata"]["generation"]
    );
    let failing = json!({
        "do": "permanent", "message": "Source is gone.", "status": {"phase": null, "why": "gone"},
        "conditions": [{"type": "Synced", "reason": "NoSource"}],
    });
    apply(&hosted, &failing).await;
    let failed = namespace
        .wait_for_ready(PUPPET, "p", "False", "PermanentFailure", DEADLINE)
        .await;
    assert_eq!(failed["status"]["phase"], Value::Null);
    assert_eq!(failed["status"]["why"], "gone");
    assert_eq!(condition(&failed, "Synced").unwrap()["reason"], "NoSource");
    // A failure that says nothing leaves it.
    let silent = json!({"do": "permanent", "message": "Still gone."});
    apply(&hosted, &silent).await;
    let is = |puppet: &Value| {
        condition(puppet, "Ready").is_some_and(|it| it["message"] == "Still gone.")
    };
    let failed = namespace.wait_for(PUPPET, "p", "told", DEADLINE, is).await;
    assert_eq!(failed["status"]["why"], "gone");
    let ours = json!({"do": "apply", "conditions": [{"type": "Ready"}]});
    apply(&hosted, &ours).await;
    let denied = namespace
        .wait_for_ready(PUPPET, "p", "False", "Denied", DEADLINE)
        .await;
    let message = text(&condition(&denied, "Ready").unwrap()["message"]);
    assert!(
        message.contains("returned the condition \"Ready\", which is the host's"),
        "{message}"
    );
}
