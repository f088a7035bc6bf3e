//! Objects that have the names of children and are not children of the parent.

use std::time::Duration;

use handler_host_tests::guests::puppets::{desire, desire_entry};
use handler_host_tests::objects::config_map;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET};
use handler_host_tests::{DEADLINE, PuppetNamespace};
use serde_json::{Value, json};

fn entry(name: &str, value: &str) -> Value {
    config_map(name, "key", value)
}

/// What the parent says of an object that nobody controls.
fn conflict(puppets: &PuppetNamespace) -> String {
    let namespace = &puppets.namespace.name;
    format!(
        "ConfigMap taken exists, and it is not this object's; give this object another name, or hand that one over to \
         the handler, which keeps its data: kubectl annotate configmap taken -n {namespace} \
         handler-host.dev/hand-over-to=puppet"
    )
}

#[tokio::test]
async fn a_foreign_object_is_never_touched_and_all_else_is_applied_but_nothing_deleted() {
    let puppets = PuppetNamespace::serve("foreign").await;
    puppets
        .apply("a", &desire(&[entry("old", "a"), entry("kept", "a")]))
        .await;
    puppets.served("a").await;
    let foreign = puppets
        .namespace
        .create_object(&entry("taken", "theirs"))
        .await
        .unwrap();

    let mark = puppets.mark();
    let children = [
        entry("taken", "ours"),
        entry("new", "a"),
        entry("kept", "b"),
    ];
    puppets.apply("a", &desire(&children)).await;
    let conflict = conflict(&puppets);
    assert_eq!(puppets.outcome("a", "False", "Conflict").await, conflict);
    let events = puppets.wait_for_events("a", 2).await;
    assert_eq!(events[1..], [format!("Warning Conflict: {conflict}")]);
    puppets.entry("new", "a").await;
    puppets.entry("kept", "b").await;
    puppets.while_others_are_called().await;
    let found = puppets.config_map("taken").await.unwrap();
    assert_eq!(found["metadata"], foreign["metadata"]);
    assert_eq!(found["data"], foreign["data"]);
    // The missing child was to replace this one, which may still be needed.
    assert!(puppets.config_map("old").await.is_some());
    let writes = puppets.child_writes(&mark).await;
    let successes = writes.only(|entry| entry.code < 300);
    assert_eq!(successes.count(), 2, "{writes}");

    puppets.namespace.delete(CONFIG_MAP, "taken").await.unwrap();
    puppets.entry("taken", "ours").await;
    puppets.outcome("a", "True", "Reconciled").await;
    puppets
        .namespace
        .wait_until_gone(CONFIG_MAP, "old", DEADLINE)
        .await;
}

#[tokio::test]
async fn a_name_that_becomes_free_is_taken_at_once_however_long_the_backoff() {
    let puppets = PuppetNamespace::serve("freed").await;
    puppets
        .namespace
        .create_object(&entry("taken", "theirs"))
        .await
        .unwrap();
    puppets.apply("a", &desire_entry("taken", "ours")).await;
    puppets.outcome("a", "False", "Conflict").await;
    // From here on, the backoff until the next pass is six seconds or more.
    puppets.wait_for_calls("a", 4).await;
    puppets.namespace.delete(CONFIG_MAP, "taken").await.unwrap();
    let taken = |found: &Value| found["data"]["key"] == "ours";
    let soon = Duration::from_secs(5);
    puppets
        .namespace
        .wait_for(CONFIG_MAP, "taken", "is ours", soon, taken)
        .await;
    puppets.outcome("a", "True", "Reconciled").await;
}

#[tokio::test]
async fn a_foreign_object_that_is_given_to_the_parent_is_adopted() {
    let puppets = PuppetNamespace::serve("adopted").await;
    let mut foreign = entry("taken", "theirs");
    foreign["data"]["more"] = json!("theirs");
    let foreign = puppets.namespace.create_object(&foreign).await.unwrap();
    let parent = puppets.apply("a", &desire_entry("taken", "ours")).await;
    puppets.outcome("a", "False", "Conflict").await;

    let owner = json!([{
        "apiVersion": PUPPET.0,
        "kind": PUPPET.1,
        "name": "a",
        "uid": parent["metadata"]["uid"],
    }]);
    let owned = json!({"metadata": {"ownerReferences": owner}});
    puppets
        .namespace
        .merge(CONFIG_MAP, "taken", &owned)
        .await
        .unwrap();
    let found = puppets.entry("taken", "ours").await;
    puppets.outcome("a", "True", "Reconciled").await;
    assert_eq!(found["metadata"]["uid"], foreign["metadata"]["uid"]);
    assert_eq!(found["data"]["more"], "theirs");
    let owners = found["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!(owners.len(), 1, "{owners:?}");
}

#[tokio::test]
async fn of_two_parents_that_want_a_child_the_first_has_it_until_it_goes() {
    let puppets = PuppetNamespace::serve("two").await;
    let first = puppets
        .apply("first", &desire_entry("taken", "first"))
        .await;
    puppets.served("first").await;
    puppets
        .apply("second", &desire_entry("taken", "second"))
        .await;
    assert_eq!(
        puppets.outcome("second", "False", "Conflict").await,
        "ConfigMap taken exists, and Puppet first controls it; give this object another name"
    );
    let found = puppets.config_map("taken").await.unwrap();
    assert_eq!(found["data"]["key"], "first");
    assert_eq!(
        found["metadata"]["ownerReferences"][0]["uid"],
        first["metadata"]["uid"]
    );
    let told = puppets.outcome("first", "True", "Reconciled").await;
    assert_eq!(told, "1 child is as desired.");

    puppets.namespace.delete(PUPPET, "first").await.unwrap();
    puppets.entry("taken", "second").await;
    puppets.outcome("second", "True", "Reconciled").await;
}

#[tokio::test]
async fn a_parent_that_gives_a_child_up_leaves_it_to_the_one_that_waits() {
    let puppets = PuppetNamespace::serve("passed-on").await;
    puppets
        .apply("first", &desire_entry("taken", "first"))
        .await;
    puppets.served("first").await;
    puppets
        .apply("second", &desire_entry("taken", "second"))
        .await;
    puppets.outcome("second", "False", "Conflict").await;
    puppets.apply("first", &desire(&[])).await;
    puppets.entry("taken", "second").await;
    puppets.outcome("second", "True", "Reconciled").await;
}

#[tokio::test]
async fn two_hosts_on_one_parent_slow_down() {
    let puppets = PuppetNamespace::serve("two-hosts").await;
    let _other = puppets.another(&["--name", "other"]).await;
    puppets.apply("a", &desire_entry("a", "a")).await;
    // The hosts overwrite each other's condition Ready, and every such write is a change for the other host.
    // On a slow machine the first twenty passes take seconds, in which more passes are earned.
    let calls = puppets.wait_for_calls("a", 34).await;
    let pause = calls[33].duration_since(calls[30]).as_secs_f64();
    assert!(pause > 2.0, "three calls within {pause} s");
}
