//! Parents whose handler asks for a finalizer.

use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::objects::config_map;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET};
use handler_host_tests::{AuditEntries, AuditEntry, DEADLINE, PuppetNamespace};
use serde_json::{Value, json};

const FINALIZER: &str = "handler-host.dev/puppet";

async fn with_finalizer(prefix: &str) -> PuppetNamespace {
    PuppetNamespace::serve_with(prefix, &["--config", "finalizer=true"]).await
}

/// Requests in the order in which they arrived, as `verb resource/name`.
fn told(entries: &AuditEntries) -> Vec<String> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by(|a, b| a.received.cmp(&b.received));
    let line = |entry: &&AuditEntry| {
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
    let puppets = with_finalizer("finalizer").await;
    let mark = puppets.mark();
    puppets.apply("a", &desire_entry("a", "a")).await;
    let puppet = puppets.served("a").await;
    assert_eq!(puppet["metadata"]["finalizers"], json!([FINALIZER]));
    puppets.wait_for_events("a", 1).await;
    let writes = puppets.requests(&mark).await.writes();
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
    let puppets = with_finalizer("finalized").await;
    puppets.apply("a", &desire_entry("a", "a")).await;
    puppets.served("a").await;
    let calls = puppets.calls("a").len();
    let mark = puppets.mark();
    puppets.namespace.delete(PUPPET, "a").await.unwrap();
    puppets
        .namespace
        .wait_until_gone(PUPPET, "a", DEADLINE)
        .await;
    assert!(puppets.config_map("a").await.is_none());
    assert!(puppets.calls("a").len() > calls);
    let writes = puppets.requests(&mark).await.writes();
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
    let puppets = with_finalizer("goodbye").await;
    let spec = |on_delete: &[Value]| {
        json!({
            "do": "apply",
            "children": [config_map("usual", "key", "a")],
            "onDelete": on_delete,
        })
    };
    puppets
        .apply("a", &spec(&[config_map("goodbye", "key", "a")]))
        .await;
    puppets.served("a").await;
    puppets.namespace.delete(PUPPET, "a").await.unwrap();
    puppets.entry("goodbye", "a").await;
    puppets
        .namespace
        .wait_until_gone(CONFIG_MAP, "usual", DEADLINE)
        .await;
    puppets.while_others_are_called().await;
    let puppet = puppets.namespace.get(PUPPET, "a").await.unwrap();
    assert_eq!(puppet["metadata"]["finalizers"], json!([FINALIZER]));

    let no_more = json!({"spec": {"onDelete": []}});
    puppets
        .namespace
        .merge(PUPPET, "a", &no_more)
        .await
        .unwrap();
    puppets
        .namespace
        .wait_until_gone(PUPPET, "a", DEADLINE)
        .await;
    assert!(puppets.config_map("goodbye").await.is_none());
}

#[tokio::test]
async fn a_finalizer_of_somebody_else_is_kept() {
    let puppets = with_finalizer("others").await;
    let mut puppet = handler_host_tests::puppet("a", desire_entry("a", "a"));
    puppet["metadata"]["finalizers"] = json!(["tests.handler-host.dev/theirs"]);
    puppets.namespace.create_object(&puppet).await.unwrap();
    puppets.served("a").await;
    puppets.namespace.delete(PUPPET, "a").await.unwrap();
    let theirs = json!(["tests.handler-host.dev/theirs"]);
    let released = |puppet: &Value| puppet["metadata"]["finalizers"] == theirs;
    puppets
        .namespace
        .wait_for(PUPPET, "a", "only theirs is left", DEADLINE, released)
        .await;
    let none = json!({"metadata": {"finalizers": null}});
    puppets.namespace.merge(PUPPET, "a", &none).await.unwrap();
    puppets
        .namespace
        .wait_until_gone(PUPPET, "a", DEADLINE)
        .await;
}

#[tokio::test]
async fn without_a_finalizer_children_go_by_owner_reference_and_nobody_is_called() {
    let puppets = PuppetNamespace::serve("no-finalizer").await;
    puppets.apply("a", &desire_entry("a", "a")).await;
    let puppet = puppets.served("a").await;
    assert_eq!(puppet["metadata"]["finalizers"], json!(null));
    let (calls, mark) = (puppets.calls("a").len(), puppets.mark());
    puppets.namespace.delete(PUPPET, "a").await.unwrap();
    puppets
        .namespace
        .wait_until_gone(CONFIG_MAP, "a", DEADLINE)
        .await;
    puppets.while_others_are_called().await;
    assert_eq!(puppets.calls("a").len(), calls);
    let writes = puppets.child_writes(&mark).await;
    assert_eq!(writes.count(), 0, "{writes}");
}

#[tokio::test]
async fn a_finalizer_left_by_an_earlier_module_is_removed() {
    let mut puppets = with_finalizer("left").await;
    puppets.apply("a", &desire_entry("a", "a")).await;
    puppets.served("a").await;
    // The handler is the same, but it asks for no finalizer any more.
    puppets.restart().await;
    let released = |puppet: &Value| puppet["metadata"]["finalizers"].is_null();
    puppets
        .namespace
        .wait_for(PUPPET, "a", "it has no finalizer", DEADLINE, released)
        .await;
}

#[tokio::test]
async fn orphans_outlive_a_parent_with_a_finalizer() {
    let arguments = ["--config", "finalizer=true", "--on-parent-delete", "orphan"];
    let puppets = PuppetNamespace::serve_with("orphans", &arguments).await;
    puppets.apply("a", &desire_entry("a", "a")).await;
    puppets.served("a").await;
    let before = puppets.config_map("a").await;
    puppets.namespace.delete(PUPPET, "a").await.unwrap();
    puppets
        .namespace
        .wait_until_gone(PUPPET, "a", DEADLINE)
        .await;
    assert_eq!(puppets.config_map("a").await, before);
}
