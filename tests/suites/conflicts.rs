//! Objects of others at the names of children.

use std::time::Duration;

use handler_host_tests::namespace::{CONFIG_MAP, PUPPET};
use handler_host_tests::objects::config_map;
use serde_json::{Value, json};

use crate::stage::{DEADLINE, Stage, desire, desire_entry};

fn entry(name: &str, value: &str) -> Value {
    config_map(name, "key", value)
}

const CONFLICT: &str =
    "ConfigMap taken exists and is not this object's; delete or rename it, or rename this object";

#[tokio::test]
async fn a_foreign_object_is_never_touched_and_all_else_is_applied_but_nothing_deleted() {
    let stage = Stage::set("foreign").await;
    stage
        .puppet("a", &desire(&[entry("old", "a"), entry("kept", "a")]))
        .await;
    stage.served("a").await;
    let foreign = stage
        .namespace
        .create_object(&entry("taken", "theirs"))
        .await
        .unwrap();

    let mark = stage.mark();
    let children = [
        entry("taken", "ours"),
        entry("new", "a"),
        entry("kept", "b"),
    ];
    stage.puppet("a", &desire(&children)).await;
    assert_eq!(stage.outcome("a", "False", "Conflict").await, CONFLICT);
    let events = stage.wait_for_events("a", 2).await;
    assert_eq!(events[1..], [format!("Warning Conflict: {CONFLICT}")]);
    stage.entry("new", "a").await;
    stage.entry("kept", "b").await;
    stage.while_others_are_called().await;
    let found = stage.config_map("taken").await.unwrap();
    assert_eq!(found["metadata"], foreign["metadata"]);
    assert_eq!(found["data"], foreign["data"]);
    // What the missing child was to replace may be needed still.
    assert!(stage.config_map("old").await.is_some());
    let writes = stage.child_writes(&mark).await;
    let successes = writes.only(|entry| entry.code < 300);
    assert_eq!(successes.count(), 2, "{writes}");

    stage.namespace.delete(CONFIG_MAP, "taken").await.unwrap();
    stage.entry("taken", "ours").await;
    stage.outcome("a", "True", "Reconciled").await;
    stage
        .namespace
        .wait_until_gone(CONFIG_MAP, "old", DEADLINE)
        .await;
}

#[tokio::test]
async fn a_name_that_becomes_free_is_taken_at_once_however_long_the_backoff() {
    let stage = Stage::set("freed").await;
    stage
        .namespace
        .create_object(&entry("taken", "theirs"))
        .await
        .unwrap();
    stage.puppet("a", &desire_entry("taken", "ours")).await;
    stage.outcome("a", "False", "Conflict").await;
    // From here on the next look by backoff is six seconds away, or more.
    stage.wait_for_calls("a", 4).await;
    stage.namespace.delete(CONFIG_MAP, "taken").await.unwrap();
    let taken = |found: &Value| found["data"]["key"] == "ours";
    let soon = Duration::from_secs(5);
    stage
        .namespace
        .wait_for(CONFIG_MAP, "taken", "is ours", soon, taken)
        .await;
    stage.outcome("a", "True", "Reconciled").await;
}

#[tokio::test]
async fn a_foreign_object_that_is_given_to_the_parent_is_adopted() {
    let stage = Stage::set("adopted").await;
    let mut foreign = entry("taken", "theirs");
    foreign["data"]["more"] = json!("theirs");
    let foreign = stage.namespace.create_object(&foreign).await.unwrap();
    let parent = stage.puppet("a", &desire_entry("taken", "ours")).await;
    stage.outcome("a", "False", "Conflict").await;

    let owner = json!([{
        "apiVersion": PUPPET.0,
        "kind": PUPPET.1,
        "name": "a",
        "uid": parent["metadata"]["uid"],
    }]);
    let owned = json!({"metadata": {"ownerReferences": owner}});
    stage
        .namespace
        .merge(CONFIG_MAP, "taken", &owned)
        .await
        .unwrap();
    let found = stage.entry("taken", "ours").await;
    stage.outcome("a", "True", "Reconciled").await;
    assert_eq!(found["metadata"]["uid"], foreign["metadata"]["uid"]);
    assert_eq!(found["data"]["more"], "theirs");
    let owners = found["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!(owners.len(), 1, "{owners:?}");
}

#[tokio::test]
async fn of_two_parents_that_want_a_child_the_first_has_it_until_it_goes() {
    let stage = Stage::set("two").await;
    let first = stage.puppet("first", &desire_entry("taken", "first")).await;
    stage.served("first").await;
    stage
        .puppet("second", &desire_entry("taken", "second"))
        .await;
    assert_eq!(stage.outcome("second", "False", "Conflict").await, CONFLICT);
    let found = stage.config_map("taken").await.unwrap();
    assert_eq!(found["data"]["key"], "first");
    assert_eq!(
        found["metadata"]["ownerReferences"][0]["uid"],
        first["metadata"]["uid"]
    );
    let told = stage.outcome("first", "True", "Reconciled").await;
    assert_eq!(told, "1 child is as desired.");

    stage.namespace.delete(PUPPET, "first").await.unwrap();
    stage.entry("taken", "second").await;
    stage.outcome("second", "True", "Reconciled").await;
}

#[tokio::test]
async fn a_parent_that_gives_a_child_up_leaves_it_to_the_one_that_waits() {
    let stage = Stage::set("passed-on").await;
    stage.puppet("first", &desire_entry("taken", "first")).await;
    stage.served("first").await;
    stage
        .puppet("second", &desire_entry("taken", "second"))
        .await;
    stage.outcome("second", "False", "Conflict").await;
    stage.puppet("first", &desire(&[])).await;
    stage.entry("taken", "second").await;
    stage.outcome("second", "True", "Reconciled").await;
}

#[tokio::test]
async fn two_hosts_on_one_parent_slow_down() {
    let stage = Stage::set("two-hosts").await;
    let _other = stage.another(&["--name", "other"]).await;
    stage.puppet("a", &desire_entry("a", "a")).await;
    // Each says in Ready what the other then contradicts, and every word is a change to the other.
    let calls = stage.wait_for_calls("a", 24).await;
    let pause = calls[23].duration_since(calls[20]).as_secs_f64();
    assert!(pause > 2.0, "three calls within {pause} s");
}
