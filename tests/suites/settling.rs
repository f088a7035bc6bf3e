//! When the handler is called again: until its parent is settled, and no longer.

use handler_host_tests::DEADLINE;
use handler_host_tests::PuppetNamespace;
use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

#[tokio::test]
async fn a_chain_of_children_is_made_to_its_end_and_counted() {
    let puppets = PuppetNamespace::serve("chain").await;
    let mark = puppets.mark();
    puppets
        .apply("a", &json!({"do": "chain", "count": 5}))
        .await;
    let is_counted = |found: &Value| found["status"]["there"] == 5;
    puppets
        .namespace
        .wait_for(PUPPET, "a", "counted", DEADLINE, is_counted)
        .await;
    puppets.while_others_are_called().await;
    let writes = puppets.child_writes(&mark).await;
    assert_eq!(writes.count(), 5, "{writes}");
    // One call for each child, and one that finds nothing to do.
    assert_eq!(puppets.calls("a").len(), 6);
}

#[tokio::test]
async fn a_parent_is_called_again_for_its_new_child_and_then_costs_nothing() {
    let puppets = PuppetNamespace::serve("settled").await;
    puppets.apply("a", &desire_entry("a", "a")).await;
    puppets.served("a").await;
    puppets.wait_for_calls("a", 2).await;
    let mark = puppets.mark();
    puppets.while_others_are_called().await;
    assert_eq!(puppets.calls("a").len(), 2);
    let requests = puppets.requests(&mark).await;
    let requests = requests.named("a");
    assert_eq!(requests.count(), 0, "{requests}");

    // A change that the handler does not see is none, and what only it sees costs a call.
    let annotated = json!({"metadata": {"annotations": {"note": "a"}}});
    let namespace = &puppets.namespace;
    namespace.merge(CONFIG_MAP, "a", &annotated).await.unwrap();
    puppets.wait_for_calls("a", 3).await;
    puppets.while_others_are_called().await;
    assert_eq!(puppets.calls("a").len(), 3);
}

/// Waits until the Puppet `a` is unstable. Returns what it says.
async fn unstable(puppets: &PuppetNamespace) -> String {
    puppets.outcome("a", "False", "Unstable").await
}

#[tokio::test]
async fn a_handler_that_gives_another_child_at_each_call_is_slowed_down_and_named() {
    let puppets = PuppetNamespace::serve("alternates").await;
    puppets.apply("a", &json!({"do": "alternate"})).await;
    assert_eq!(
        unstable(&puppets).await,
        "10 writes in a row: the handler gives ConfigMap a another content at each call (data.key); the same input must \
         give the same children"
    );
    let mark = puppets.mark();
    let before = puppets.calls("a").len();
    puppets.while_others_are_called().await;
    let writes = puppets.child_writes(&mark).await;
    let calls = puppets.calls("a").len() - before;
    assert!(writes.count() <= 3 && calls <= 4, "{calls} calls\n{writes}");
    let events = puppets.events("a").await;
    assert_eq!(events.len(), 2, "{events:?}");

    // Another spec is another input, and waits for nothing.
    puppets.apply("a", &desire_entry("a", "still")).await;
    puppets.served("a").await;
}

#[tokio::test]
async fn a_child_that_is_desired_at_every_other_call_is_named() {
    let puppets = PuppetNamespace::serve("blinks").await;
    puppets.apply("a", &json!({"do": "blink"})).await;
    let message = unstable(&puppets).await;
    assert!(
        message.contains("desires ConfigMap a at one call and not at the next"),
        "{message}"
    );
}

#[tokio::test]
async fn a_child_that_is_changed_back_is_slowed_down_and_the_other_manager_named() {
    let puppets = PuppetNamespace::serve("contended").await;
    puppets.apply("a", &desire_entry("a", "ours")).await;
    let api = puppets.namespace.api(CONFIG_MAP);
    let params = PatchParams {
        field_manager: Some("rival".to_owned()),
        ..PatchParams::default()
    };
    let theirs = json!({"data": {"key": "theirs"}});
    // A controller that wants the field to be otherwise, and answers each write of the host.
    let rival = async {
        loop {
            puppets.entry("a", "ours").await;
            api.patch("a", &params, &Patch::Merge(&theirs))
                .await
                .unwrap();
        }
    };
    let message = tokio::select! {
        message = unstable(&puppets) => message,
        () = rival => unreachable!("the rival goes on for ever"),
    };
    assert_eq!(
        message,
        "10 writes in a row: the field manager rival changes ConfigMap a back after each write (data.key); let one of \
         both own the field, and leave it out of the other"
    );
    // Once the rival gives up, the parent is ready again.
    puppets.entry("a", "ours").await;
    puppets.outcome("a", "True", "Reconciled").await;
}
