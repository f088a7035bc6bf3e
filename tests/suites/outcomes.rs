//! What a handler may say, and what becomes of it.

use handler_host_tests::eventually;
use handler_host_tests::namespace::{CONFIG_MAP, PUPPET};
use handler_host_tests::objects::{condition, config_map};
use serde_json::{Value, json};

use crate::stage::{DEADLINE, Stage, desire, desire_entry, text};

#[tokio::test]
async fn a_permanent_failure_is_told_and_not_called_again_until_something_changes() {
    let stage = Stage::set("permanent").await;
    stage.puppet("a", &desire_entry("a", "before")).await;
    stage.served("a").await;
    let (version, calls) = (stage.version("a").await, stage.calls("a").len());

    let failure = json!({"do": "permanent", "message": "a claim needs a size"});
    stage.puppet("a", &failure).await;
    let told = stage.outcome("a", "False", "PermanentFailure").await;
    assert_eq!(told, "a claim needs a size");
    let events = stage.wait_for_events("a", 2).await;
    assert_eq!(
        events[1..],
        ["Warning PermanentFailure: a claim needs a size"]
    );
    stage.while_others_are_called().await;
    assert_eq!(
        stage.calls("a").len(),
        calls + 1,
        "{}",
        stage.operator.log()
    );
    assert_eq!(stage.version("a").await, version);

    stage.namespace.delete(CONFIG_MAP, "a").await.unwrap();
    stage.wait_for_calls("a", calls + 2).await;
    stage.puppet("a", &desire_entry("a", "mended")).await;
    stage.entry("a", "mended").await;
}

#[tokio::test]
async fn a_temporary_failure_is_retried_after_its_delay_and_not_before() {
    let stage = Stage::set("temporary").await;
    let failure = json!({"do": "temporary", "message": "not yet", "delayMs": 2500});
    stage.puppet("a", &failure).await;
    let told = stage.outcome("a", "False", "TemporaryFailure").await;
    assert_eq!(told, "not yet");
    let calls = stage.wait_for_calls("a", 3).await;
    for pair in calls.windows(2) {
        let delay = pair[1].duration_since(pair[0]);
        assert!(delay.as_millis() >= 2500, "{calls:?}");
    }
    // Said once, however often it fails the same way.
    assert_eq!(
        stage.events("a").await,
        ["Warning TemporaryFailure: not yet"]
    );
    let mended = desire_entry("a", "mended");
    stage.puppet("a", &mended).await;
    stage.entry("a", "mended").await;
}

#[tokio::test]
async fn a_temporary_failure_without_delay_is_retried_with_backoff() {
    let stage = Stage::set("temporary-backoff").await;
    let failure = json!({"do": "temporary", "message": "not yet"});
    stage.puppet("a", &failure).await;
    let calls = stage.wait_for_calls("a", 3).await;
    // 1 and 2 s, less a quarter at most.
    for (index, least) in [(1, 750), (2, 1500)] {
        let delay = calls[index].duration_since(calls[index - 1]);
        assert!(delay.as_millis() >= least, "{calls:?}");
    }
}

#[tokio::test]
async fn a_handler_that_waits_has_its_children_applied_and_says_what_for() {
    let stage = Stage::set("waiting").await;
    let children = [config_map("a", "key", "a")];
    let spec = json!({"do": "apply", "children": children, "waiting": "for the moon"});
    stage.puppet("a", &spec).await;
    assert_eq!(stage.outcome("a", "False", "Waiting").await, "for the moon");
    stage.entry("a", "a").await;
    let events = stage.wait_for_events("a", 1).await;
    assert_eq!(events, ["Normal Waiting: for the moon"]);

    stage.puppet("a", &desire_entry("a", "a")).await;
    let told = stage.outcome("a", "True", "Reconciled").await;
    assert_eq!(told, "1 child is as desired.");
}

#[tokio::test]
async fn a_handlers_status_is_merged_and_cannot_overwrite_what_the_host_says() {
    let stage = Stage::set("status").await;
    let first = json!({"do": "apply", "status": {
        "size": "1G",
        "phase": "Bound",
        "nested": {"kept": 1, "dropped": 2},
        "handler": {"name": "impostor"},
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "Impostor", "message": "not so"},
            {"type": "Bound", "status": "True", "reason": "Found", "message": ""},
        ],
    }});
    stage.puppet("a", &first).await;
    let puppet = stage.served("a").await;
    let status = &puppet["status"];
    assert_eq!([&status["size"], &status["phase"]], ["1G", "Bound"]);
    assert_eq!(status["handler"]["name"], "puppet");
    assert!(text(&status["handler"]["digest"]).starts_with("sha256:"));
    assert_eq!(
        status["conditions"].as_array().unwrap().len(),
        2,
        "{status:#}"
    );
    let bound = condition(&puppet, "Bound").unwrap();
    assert_eq!(bound["reason"], "Found");
    let since = text(&bound["lastTransitionTime"]);
    assert!(since.ends_with('Z'), "{bound}");

    let second = json!({"do": "apply", "status": {
        "phase": null,
        "nested": {"dropped": null},
        "conditions": [{"type": "Bound", "status": "True", "reason": "Kept", "message": ""}],
    }});
    stage.puppet("a", &second).await;
    let puppet = stage.served("a").await;
    let status = &puppet["status"];
    assert_eq!(
        [&status["size"], &status["phase"]],
        [&json!("1G"), &json!(null)]
    );
    assert_eq!(status["nested"], json!({"kept": 1}));
    let bound = condition(&puppet, "Bound").unwrap();
    // The status of the condition is the same, so is the time it began.
    assert_eq!(
        [&bound["reason"], &bound["lastTransitionTime"]],
        ["Kept", &since]
    );

    // No patch at all leaves everything.
    stage.puppet("a", &json!({"do": "apply"})).await;
    let puppet = stage.served("a").await;
    assert_eq!(puppet["status"]["size"], "1G");
    assert!(condition(&puppet, "Bound").is_some());
}

#[tokio::test]
async fn a_settled_status_is_not_written_again() {
    let stage = Stage::set("status-settled").await;
    let spec =
        json!({"do": "apply", "status": {"size": "1G", "gone": null}, "requeueAfterMs": 1000});
    stage.puppet("a", &spec).await;
    stage.served("a").await;
    stage.wait_for_events("a", 1).await;
    let mark = stage.mark();
    let calls = stage.calls("a").len();
    stage.wait_for_calls("a", calls + 3).await;
    let requests = stage.requests(&mark).await;
    assert_eq!(requests.count(), 0, "{requests}");
}

#[tokio::test]
async fn events_of_a_handler_are_published_when_it_changed_something_not_at_every_call() {
    let stage = Stage::set("events").await;
    let children = [config_map("a", "key", "a")];
    let events = [
        json!({"severity": "normal", "reason": "Resized", "message": "from 1G to 2G"}),
        json!({"severity": "warning", "reason": "Slow", "message": "the moon again"}),
    ];
    let spec =
        json!({"do": "apply", "children": children, "events": events, "requeueAfterMs": 1000});
    stage.puppet("a", &spec).await;
    let mut events = stage.wait_for_events("a", 3).await;
    events.sort();
    let expected = [
        "Normal Reconciled: Created ConfigMap a",
        "Normal Resized: from 1G to 2G",
        "Warning Slow: the moon again",
    ];
    assert_eq!(events, expected);

    let mark = stage.mark();
    let calls = stage.calls("a").len();
    stage.wait_for_calls("a", calls + 3).await;
    let writes = stage.requests(&mark).await.writes().resource("events");
    assert_eq!(writes.count(), 0, "{writes}");

    // A restored child is a change: the handler's news are told with it, once more each.
    let edit = json!({"data": {"key": "edited"}});
    stage.namespace.merge(CONFIG_MAP, "a", &edit).await.unwrap();
    stage.entry("a", "a").await;
    eventually("both are told again", DEADLINE, async || {
        let writes = stage.requests(&mark).await.writes().resource("events");
        if writes.count() == 2 {
            Ok(())
        } else {
            Err(writes.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn only_transitions_are_events() {
    let stage = Stage::set("transitions").await;
    stage.puppet("a", &desire_entry("a", "one")).await;
    stage.wait_for_events("a", 1).await;
    for value in ["two", "three"] {
        stage.puppet("a", &desire_entry("a", value)).await;
        stage.entry("a", value).await;
        stage.served("a").await;
    }
    stage
        .puppet("a", &json!({"do": "permanent", "message": "no"}))
        .await;
    stage.wait_for_events("a", 2).await;
    stage.puppet("a", &desire_entry("a", "four")).await;
    let events = stage.wait_for_events("a", 3).await;
    let expected = [
        "Normal Reconciled: Created ConfigMap a",
        "Warning PermanentFailure: no",
        "Normal Reconciled: Updated ConfigMap a",
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_handler_is_called_again_after_the_time_it_asks_for() {
    let stage = Stage::set("requeue").await;
    stage
        .puppet("a", &json!({"do": "apply", "requeueAfterMs": 1500}))
        .await;
    // Less than a second counts as one.
    stage
        .puppet("b", &json!({"do": "apply", "requeueAfterMs": 1}))
        .await;
    for (name, least) in [("a", 1500), ("b", 1000)] {
        let calls = stage.wait_for_calls(name, 3).await;
        for pair in calls.windows(2) {
            let delay = pair[1].duration_since(pair[0]);
            assert!(delay.as_millis() >= least, "{name}: {calls:?}");
        }
    }
}

#[tokio::test]
async fn a_child_no_longer_desired_is_deleted() {
    let stage = Stage::set("undesired").await;
    let child = |name: &str| config_map(name, "key", "a");
    stage
        .puppet("a", &desire(&[child("one"), child("two")]))
        .await;
    stage.served("a").await;
    let version = stage.version("one").await;
    stage.puppet("a", &desire(&[child("one")])).await;
    stage
        .namespace
        .wait_until_gone(CONFIG_MAP, "two", DEADLINE)
        .await;
    assert_eq!(stage.version("one").await, version);
    stage.puppet("a", &desire(&[])).await;
    stage
        .namespace
        .wait_until_gone(CONFIG_MAP, "one", DEADLINE)
        .await;
    let what = "it says that none is desired";
    let says = stage
        .namespace
        .wait_for(PUPPET, "a", what, DEADLINE, |puppet| {
            condition(puppet, "Ready")
                .is_some_and(|ready| ready["message"] == "No child is desired.")
        });
    says.await;
}

#[tokio::test]
async fn a_child_that_is_being_deleted_is_waited_for_and_made_again() {
    let stage = Stage::set("deleting").await;
    stage.puppet("a", &desire_entry("a", "a")).await;
    stage.served("a").await;
    let before = stage.config_map("a").await.unwrap();
    let held = json!({"metadata": {"finalizers": ["tests.handler-host.dev/held"]}});
    stage.namespace.merge(CONFIG_MAP, "a", &held).await.unwrap();
    stage.namespace.delete(CONFIG_MAP, "a").await.unwrap();
    let told = stage.outcome("a", "False", "Waiting").await;
    assert_eq!(
        told,
        "ConfigMap a is being deleted; it is made again when it is gone"
    );

    let released = json!({"metadata": {"finalizers": null}});
    stage
        .namespace
        .merge(CONFIG_MAP, "a", &released)
        .await
        .unwrap();
    stage.outcome("a", "True", "Reconciled").await;
    let after = stage.entry("a", "a").await;
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

#[tokio::test]
async fn a_field_no_longer_desired_goes_and_one_of_another_manager_stays() {
    let stage = Stage::set("fields").await;
    let mut child = config_map("a", "key", "a");
    child["data"]["dropped"] = json!("b");
    stage.puppet("a", &desire(&[child])).await;
    stage.entry("a", "a").await;
    stage.served("a").await;
    // Another manager's, by server-side apply.
    stage
        .namespace
        .apply(&config_map("a", "theirs", "c"))
        .await
        .unwrap();

    stage.puppet("a", &desire_entry("a", "changed")).await;
    let child = stage.entry("a", "changed").await;
    assert_eq!(child["data"], json!({"key": "changed", "theirs": "c"}));
    // Nor does it count as a difference: looked at again, nothing is sent.
    stage.served("a").await;
    let mark = stage.mark();
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    let calls = stage.calls("a").len();
    stage.namespace.merge(PUPPET, "a", &label).await.unwrap();
    stage.wait_for_calls("a", calls + 1).await;
    stage.while_others_are_called().await;
    let writes = stage.child_writes(&mark).await;
    assert_eq!(writes.count(), 0, "{writes}");
}

#[tokio::test]
async fn a_handler_sees_its_children_as_the_api_server_serves_them() {
    let stage = Stage::set("echo").await;
    stage.puppet("a", &json!({"do": "echo"})).await;
    stage.served("a").await;
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    stage.namespace.merge(PUPPET, "a", &label).await.unwrap();
    let echo = stage
        .namespace
        .wait_for(CONFIG_MAP, "a", "sees itself", DEADLINE, |echo| {
            echo["data"]["children"] == "ConfigMap/a"
        })
        .await;
    let data = &echo["data"];
    assert_eq!(data["namespace"], stage.namespace.name.as_str());
    assert_eq!(data["childrenCarryManagedFields"], "false");
    // Called more than once by now, each time in an instance of its own.
    assert!(stage.calls("a").len() > 1);
    assert_eq!(data["callsOfThisInstance"], "1");
}

#[tokio::test]
async fn a_status_that_the_api_server_refuses_is_told_without_the_handlers_fields() {
    let stage = Stage::set("refused-status").await;
    let spec = |count: Value| {
        json!({
            "do": "apply",
            "children": [config_map("a", "key", "a")],
            "status": {"count": count},
        })
    };
    stage.puppet("a", &spec(json!("many"))).await;
    let message = stage.outcome("a", "False", "Rejected").await;
    assert!(message.contains("status.count"), "{message}");
    assert_eq!(stage.wait_for_events("a", 1).await.len(), 1);

    stage.puppet("a", &spec(json!(3))).await;
    assert_eq!(stage.served("a").await["status"]["count"], 3);
}

#[tokio::test]
async fn what_a_handler_says_of_children_that_were_refused_is_not_told() {
    let stage = Stage::set("refused-child").await;
    let mut child = config_map("a", "key", "a");
    child["data"]["key"] = json!(1);
    let spec = json!({
        "do": "apply",
        "children": [child],
        "status": {"phase": "Applied"},
        "events": [{"severity": "normal", "reason": "Applied", "message": "all of it"}],
    });
    stage.puppet("a", &spec).await;
    stage.outcome("a", "False", "Rejected").await;
    let events = stage.wait_for_events("a", 1).await;
    assert!(
        !events.iter().any(|event| event.contains("all of it")),
        "{events:?}"
    );
    let puppet = stage.namespace.get(PUPPET, "a").await.unwrap();
    assert!(puppet["status"]["phase"].is_null());
}
