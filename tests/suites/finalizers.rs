//! Parents whose handler wants to see them go.

use handler_host_tests::namespace::{CONFIG_MAP, PUPPET};
use handler_host_tests::objects::config_map;
use serde_json::{Value, json};

use crate::stage::{DEADLINE, Stage, desire_entry};

const FINALIZER: &str = "handler-host.dev/puppet";

async fn stage(prefix: &str) -> Stage {
    Stage::set_with(prefix, &["--config", "finalizer=true"]).await
}

/// The host's writes, in order, as `verb resource/name`.
fn told(entries: &handler_host_tests::Entries) -> Vec<String> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by(|a, b| a.received.cmp(&b.received));
    let line = |entry: &&handler_host_tests::Entry| {
        let subresource = if entry.subresource.is_empty() {
            ""
        } else {
            "/status"
        };
        format!(
            "{} {}{subresource}/{}",
            entry.verb, entry.resource, entry.name
        )
    };
    entries.iter().map(line).collect()
}

#[tokio::test]
async fn the_finalizer_is_there_before_any_child() {
    let stage = stage("finalizer").await;
    let mark = stage.mark();
    stage.puppet("a", &desire_entry("a", "a")).await;
    let puppet = stage.served("a").await;
    assert_eq!(puppet["metadata"]["finalizers"], json!([FINALIZER]));
    stage.wait_for_events("a", 1).await;
    let writes = stage.requests(&mark).await.writes();
    let writes = writes.only(|entry| entry.resource != "events");
    let expected = [
        "patch puppets/a",
        "patch configmaps/a",
        "patch puppets/status/a",
    ];
    assert_eq!(told(&writes), expected, "{writes}");
}

#[tokio::test]
async fn children_are_deleted_before_the_finalizer_is_removed() {
    let stage = stage("finalized").await;
    stage.puppet("a", &desire_entry("a", "a")).await;
    stage.served("a").await;
    let calls = stage.calls("a").len();
    let mark = stage.mark();
    stage.namespace.delete(PUPPET, "a").await.unwrap();
    stage.namespace.wait_until_gone(PUPPET, "a", DEADLINE).await;
    assert!(stage.config_map("a").await.is_none());
    assert!(stage.calls("a").len() > calls);
    let writes = stage.requests(&mark).await.writes();
    let order =
        told(&writes.only(|entry| entry.resource != "events" && entry.subresource.is_empty()));
    assert_eq!(
        order,
        ["delete configmaps/a", "patch puppets/a"],
        "{writes}"
    );
}

#[tokio::test]
async fn children_desired_on_deletion_keep_the_parent_until_they_are_no_longer_desired() {
    let stage = stage("goodbye").await;
    let spec = |on_delete: &[Value]| {
        json!({
            "do": "apply",
            "children": [config_map("usual", "key", "a")],
            "onDelete": on_delete,
        })
    };
    stage
        .puppet("a", &spec(&[config_map("goodbye", "key", "a")]))
        .await;
    stage.served("a").await;
    stage.namespace.delete(PUPPET, "a").await.unwrap();
    stage.entry("goodbye", "a").await;
    stage
        .namespace
        .wait_until_gone(CONFIG_MAP, "usual", DEADLINE)
        .await;
    stage.while_others_are_called().await;
    let puppet = stage.namespace.get(PUPPET, "a").await.unwrap();
    assert_eq!(puppet["metadata"]["finalizers"], json!([FINALIZER]));

    let no_more = json!({"spec": {"onDelete": []}});
    stage.namespace.merge(PUPPET, "a", &no_more).await.unwrap();
    stage.namespace.wait_until_gone(PUPPET, "a", DEADLINE).await;
    assert!(stage.config_map("goodbye").await.is_none());
}

#[tokio::test]
async fn a_finalizer_of_somebody_else_is_kept() {
    let stage = stage("others").await;
    let mut puppet = handler_host_tests::puppet("a", desire_entry("a", "a"));
    puppet["metadata"]["finalizers"] = json!(["tests.handler-host.dev/theirs"]);
    stage.namespace.create_object(&puppet).await.unwrap();
    stage.served("a").await;
    stage.namespace.delete(PUPPET, "a").await.unwrap();
    let theirs = json!(["tests.handler-host.dev/theirs"]);
    let released = |puppet: &Value| puppet["metadata"]["finalizers"] == theirs;
    stage
        .namespace
        .wait_for(PUPPET, "a", "only theirs is left", DEADLINE, released)
        .await;
    let none = json!({"metadata": {"finalizers": null}});
    stage.namespace.merge(PUPPET, "a", &none).await.unwrap();
    stage.namespace.wait_until_gone(PUPPET, "a", DEADLINE).await;
}

#[tokio::test]
async fn without_a_finalizer_children_go_by_owner_reference_and_nobody_is_called() {
    let stage = Stage::set("no-finalizer").await;
    stage.puppet("a", &desire_entry("a", "a")).await;
    let puppet = stage.served("a").await;
    assert_eq!(puppet["metadata"]["finalizers"], json!(null));
    let (calls, mark) = (stage.calls("a").len(), stage.mark());
    stage.namespace.delete(PUPPET, "a").await.unwrap();
    stage
        .namespace
        .wait_until_gone(CONFIG_MAP, "a", DEADLINE)
        .await;
    stage.while_others_are_called().await;
    assert_eq!(stage.calls("a").len(), calls);
    let writes = stage.child_writes(&mark).await;
    assert_eq!(writes.count(), 0, "{writes}");
}

#[tokio::test]
async fn a_finalizer_left_by_an_earlier_module_is_removed() {
    let mut stage = stage("left").await;
    stage.puppet("a", &desire_entry("a", "a")).await;
    stage.served("a").await;
    // The same handler, but it asks for no finalizer any more.
    stage.restart().await;
    let released = |puppet: &Value| puppet["metadata"]["finalizers"].is_null();
    stage
        .namespace
        .wait_for(PUPPET, "a", "it has no finalizer", DEADLINE, released)
        .await;
}

#[tokio::test]
async fn orphans_outlive_a_parent_with_a_finalizer() {
    let arguments = ["--config", "finalizer=true", "--on-parent-delete", "orphan"];
    let stage = Stage::set_with("orphans", &arguments).await;
    stage.puppet("a", &desire_entry("a", "a")).await;
    stage.served("a").await;
    let before = stage.config_map("a").await;
    stage.namespace.delete(PUPPET, "a").await.unwrap();
    stage.namespace.wait_until_gone(PUPPET, "a", DEADLINE).await;
    assert_eq!(stage.config_map("a").await, before);
}
