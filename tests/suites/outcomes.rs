//! The outcomes that a handler may return, and what the host does with each.

use handler_host_tests::guests::puppets::{desire, desire_entry};
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET};
use handler_host_tests::objects::{condition, config_map, text};
use handler_host_tests::{DEADLINE, PuppetNamespace, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn a_permanent_failure_is_told_and_not_called_again_until_something_changes() {
    let puppets = PuppetNamespace::serve("permanent").await;
    puppets.apply("a", &desire_entry("a", "before")).await;
    puppets.served("a").await;
    let (version, calls) = (puppets.version("a").await, puppets.calls("a").len());

    let failure = json!({"do": "permanent", "message": "a claim needs a size"});
    puppets.apply("a", &failure).await;
    let told = puppets.outcome("a", "False", "PermanentFailure").await;
    assert_eq!(told, "a claim needs a size");
    let events = puppets.wait_for_events("a", 2).await;
    assert_eq!(
        events[1..],
        ["Warning PermanentFailure: a claim needs a size"]
    );
    puppets.while_others_are_called().await;
    assert_eq!(
        puppets.calls("a").len(),
        calls + 1,
        "{}",
        puppets.operator.log()
    );
    assert_eq!(puppets.version("a").await, version);

    puppets.namespace.delete(CONFIG_MAP, "a").await.unwrap();
    puppets.wait_for_calls("a", calls + 2).await;
    puppets.apply("a", &desire_entry("a", "mended")).await;
    puppets.entry("a", "mended").await;
}

#[tokio::test]
async fn a_temporary_failure_is_retried_after_its_delay_and_not_before() {
    let puppets = PuppetNamespace::serve("temporary").await;
    let failure = json!({"do": "temporary", "message": "not yet", "delayMs": 2500});
    puppets.apply("a", &failure).await;
    let told = puppets.outcome("a", "False", "TemporaryFailure").await;
    assert_eq!(told, "not yet");
    let calls = puppets.wait_for_calls("a", 3).await;
    for pair in calls.windows(2) {
        let delay = pair[1].duration_since(pair[0]);
        assert!(delay.as_millis() >= 2500, "{calls:?}");
    }
    // There is one Event, however often the handler fails in the same way.
    assert_eq!(
        puppets.events("a").await,
        ["Warning TemporaryFailure: not yet"]
    );
    let mended = desire_entry("a", "mended");
    puppets.apply("a", &mended).await;
    puppets.entry("a", "mended").await;
}

#[tokio::test]
async fn a_temporary_failure_without_delay_is_retried_with_backoff() {
    let puppets = PuppetNamespace::serve("temporary-backoff").await;
    let failure = json!({"do": "temporary", "message": "not yet"});
    puppets.apply("a", &failure).await;
    let calls = puppets.wait_for_calls("a", 3).await;
    // The delays are 1 and 2 s, less a quarter at most.
    for (index, least) in [(1, 750), (2, 1500)] {
        let delay = calls[index].duration_since(calls[index - 1]);
        assert!(delay.as_millis() >= least, "{calls:?}");
    }
}

#[tokio::test]
async fn a_handler_that_waits_has_its_children_applied_and_says_what_for() {
    let puppets = PuppetNamespace::serve("waiting").await;
    let children = [config_map("a", "key", "a")];
    let spec = json!({"do": "apply", "children": children, "waiting": "for the moon"});
    puppets.apply("a", &spec).await;
    assert_eq!(
        puppets.outcome("a", "False", "Waiting").await,
        "for the moon"
    );
    puppets.entry("a", "a").await;
    let events = puppets.wait_for_events("a", 1).await;
    assert_eq!(events, ["Normal Waiting: for the moon"]);

    puppets.apply("a", &desire_entry("a", "a")).await;
    let told = puppets.outcome("a", "True", "Reconciled").await;
    assert_eq!(told, "1 child is as desired.");
}

#[tokio::test]
async fn a_handlers_status_is_merged_and_cannot_overwrite_what_the_host_says() {
    let puppets = PuppetNamespace::serve("status").await;
    let first = json!({"do": "apply", "status": {
        "size": "1G",
        "phase": "Bound",
        "nested": {"kept": 1, "dropped": 2},
        "handlers": {"puppet": {"condition": "Odd"}, "other": {}},
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "Impostor", "message": "not so"},
            {"type": "Bound", "status": "True", "reason": "Found", "message": ""},
        ],
    }});
    puppets.apply("a", &first).await;
    let puppet = puppets.served("a").await;
    let status = &puppet["status"];
    assert_eq!([&status["size"], &status["phase"]], ["1G", "Bound"]);
    let handler = &status["handlers"]["puppet"];
    assert_eq!(handler["condition"], "Ready");
    assert!(text(&handler["digest"]).starts_with("sha256:"));
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
    puppets.apply("a", &second).await;
    let puppet = puppets.served("a").await;
    let status = &puppet["status"];
    assert_eq!(
        [&status["size"], &status["phase"]],
        [&json!("1G"), &json!(null)]
    );
    assert_eq!(status["nested"], json!({"kept": 1}));
    let bound = condition(&puppet, "Bound").unwrap();
    // The status of the condition did not change, so its transition time did not change either.
    assert_eq!(
        [&bound["reason"], &bound["lastTransitionTime"]],
        ["Kept", &since]
    );

    // Without a status patch, the status stays as it is.
    puppets.apply("a", &json!({"do": "apply"})).await;
    let puppet = puppets.served("a").await;
    assert_eq!(puppet["status"]["size"], "1G");
    assert!(condition(&puppet, "Bound").is_some());
}

#[tokio::test]
async fn a_settled_status_is_not_written_again() {
    let puppets = PuppetNamespace::serve("status-settled").await;
    let spec =
        json!({"do": "apply", "status": {"size": "1G", "gone": null}, "requeueAfterMs": 1000});
    puppets.apply("a", &spec).await;
    puppets.served("a").await;
    puppets.wait_for_events("a", 1).await;
    let mark = puppets.mark();
    let calls = puppets.calls("a").len();
    puppets.wait_for_calls("a", calls + 3).await;
    let requests = puppets.requests(&mark).await;
    assert_eq!(requests.count(), 0, "{requests}");
}

#[tokio::test]
async fn events_of_a_handler_are_published_when_it_changed_something_not_at_every_call() {
    let puppets = PuppetNamespace::serve("events").await;
    let children = [config_map("a", "key", "a")];
    let events = [
        json!({"severity": "normal", "reason": "Resized", "message": "from 1G to 2G"}),
        json!({"severity": "warning", "reason": "Slow", "message": "the moon again"}),
    ];
    let spec =
        json!({"do": "apply", "children": children, "events": events, "requeueAfterMs": 1000});
    puppets.apply("a", &spec).await;
    let mut events = puppets.wait_for_events("a", 3).await;
    events.sort();
    let expected = [
        "Normal Reconciled: Created ConfigMap a",
        "Normal Resized: from 1G to 2G",
        "Warning Slow: the moon again",
    ];
    assert_eq!(events, expected);

    let mark = puppets.mark();
    let calls = puppets.calls("a").len();
    puppets.wait_for_calls("a", calls + 3).await;
    let writes = puppets.requests(&mark).await.writes().resource("events");
    assert_eq!(writes.count(), 0, "{writes}");

    // The host restored a child, which is a change. So it publishes each Event of the handler once more.
    let edit = json!({"data": {"key": "edited"}});
    puppets
        .namespace
        .merge(CONFIG_MAP, "a", &edit)
        .await
        .unwrap();
    puppets.entry("a", "a").await;
    eventually("both are told again", DEADLINE, async || {
        let writes = puppets.requests(&mark).await.writes().resource("events");
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
    let puppets = PuppetNamespace::serve("transitions").await;
    puppets.apply("a", &desire_entry("a", "one")).await;
    puppets.wait_for_events("a", 1).await;
    for value in ["two", "three"] {
        puppets.apply("a", &desire_entry("a", value)).await;
        puppets.entry("a", value).await;
        puppets.served("a").await;
    }
    puppets
        .apply("a", &json!({"do": "permanent", "message": "no"}))
        .await;
    puppets.wait_for_events("a", 2).await;
    puppets.apply("a", &desire_entry("a", "four")).await;
    let events = puppets.wait_for_events("a", 3).await;
    let expected = [
        "Normal Reconciled: Created ConfigMap a",
        "Warning PermanentFailure: no",
        "Normal Reconciled: Updated ConfigMap a",
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_handler_is_called_again_after_the_time_it_asks_for() {
    let puppets = PuppetNamespace::serve("requeue").await;
    puppets
        .apply("a", &json!({"do": "apply", "requeueAfterMs": 1500}))
        .await;
    // The host waits for one second at least.
    puppets
        .apply("b", &json!({"do": "apply", "requeueAfterMs": 1}))
        .await;
    for (name, least) in [("a", 1500), ("b", 1000)] {
        let calls = puppets.wait_for_calls(name, 3).await;
        for pair in calls.windows(2) {
            let delay = pair[1].duration_since(pair[0]);
            assert!(delay.as_millis() >= least, "{name}: {calls:?}");
        }
    }
}

#[tokio::test]
async fn a_child_no_longer_desired_is_deleted() {
    let puppets = PuppetNamespace::serve("undesired").await;
    let child = |name: &str| config_map(name, "key", "a");
    puppets
        .apply("a", &desire(&[child("one"), child("two")]))
        .await;
    puppets.served("a").await;
    let version = puppets.version("one").await;
    puppets.apply("a", &desire(&[child("one")])).await;
    puppets
        .namespace
        .wait_until_gone(CONFIG_MAP, "two", DEADLINE)
        .await;
    assert_eq!(puppets.version("one").await, version);
    puppets.apply("a", &desire(&[])).await;
    puppets
        .namespace
        .wait_until_gone(CONFIG_MAP, "one", DEADLINE)
        .await;
    let what = "it says that none is desired";
    let says_so = puppets
        .namespace
        .wait_for(PUPPET, "a", what, DEADLINE, |puppet| {
            condition(puppet, "Ready")
                .is_some_and(|ready| ready["message"] == "No child is desired.")
        });
    says_so.await;
}

#[tokio::test]
async fn a_child_that_is_being_deleted_is_waited_for_and_made_again() {
    let puppets = PuppetNamespace::serve("deleting").await;
    puppets.apply("a", &desire_entry("a", "a")).await;
    puppets.served("a").await;
    let before = puppets.config_map("a").await.unwrap();
    let held = json!({"metadata": {"finalizers": ["tests.handler-host.dev/held"]}});
    puppets
        .namespace
        .merge(CONFIG_MAP, "a", &held)
        .await
        .unwrap();
    puppets.namespace.delete(CONFIG_MAP, "a").await.unwrap();
    let told = puppets.outcome("a", "False", "Waiting").await;
    assert_eq!(
        told,
        "ConfigMap a is being deleted; it is made again when it is gone"
    );

    let released = json!({"metadata": {"finalizers": null}});
    puppets
        .namespace
        .merge(CONFIG_MAP, "a", &released)
        .await
        .unwrap();
    puppets.outcome("a", "True", "Reconciled").await;
    let after = puppets.entry("a", "a").await;
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

#[tokio::test]
async fn a_field_no_longer_desired_goes_and_one_of_another_manager_stays() {
    let puppets = PuppetNamespace::serve("fields").await;
    let mut child = config_map("a", "key", "a");
    child["data"]["dropped"] = json!("b");
    puppets.apply("a", &desire(&[child])).await;
    puppets.entry("a", "a").await;
    puppets.served("a").await;
    // Another field manager adds a field by server-side apply.
    puppets
        .namespace
        .apply(&config_map("a", "theirs", "c"))
        .await
        .unwrap();

    puppets.apply("a", &desire_entry("a", "changed")).await;
    let child = puppets.entry("a", "changed").await;
    assert_eq!(child["data"], json!({"key": "changed", "theirs": "c"}));
    // The field of the other manager is no difference: at the next pass, nothing is written.
    puppets.served("a").await;
    let mark = puppets.mark();
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    let calls = puppets.calls("a").len();
    puppets.namespace.merge(PUPPET, "a", &label).await.unwrap();
    puppets.wait_for_calls("a", calls + 1).await;
    puppets.while_others_are_called().await;
    let writes = puppets.child_writes(&mark).await;
    assert_eq!(writes.count(), 0, "{writes}");
}

#[tokio::test]
async fn a_handler_sees_its_children_as_the_api_server_serves_them() {
    let puppets = PuppetNamespace::serve("echo").await;
    puppets.apply("a", &json!({"do": "echo"})).await;
    puppets.served("a").await;
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    puppets.namespace.merge(PUPPET, "a", &label).await.unwrap();
    let echo = puppets
        .namespace
        .wait_for(CONFIG_MAP, "a", "sees itself", DEADLINE, |echo| {
            echo["data"]["children"] == "ConfigMap/a"
        })
        .await;
    let data = &echo["data"];
    assert_eq!(data["namespace"], puppets.namespace.name.as_str());
    assert_eq!(data["childrenCarryManagedFields"], "false");
    // The handler was called more than once by now, and each call had a new instance.
    assert!(puppets.calls("a").len() > 1);
    assert_eq!(data["callsOfThisInstance"], "1");
}

#[tokio::test]
async fn a_status_that_the_api_server_refuses_is_told_without_the_handlers_fields() {
    let puppets = PuppetNamespace::serve("refused-status").await;
    let spec = |count: Value| {
        json!({
            "do": "apply",
            "children": [config_map("a", "key", "a")],
            "status": {"count": count},
        })
    };
    puppets.apply("a", &spec(json!("many"))).await;
    let message = puppets.outcome("a", "False", "Rejected").await;
    assert!(message.contains("status.count"), "{message}");
    assert_eq!(puppets.wait_for_events("a", 1).await.len(), 1);

    puppets.apply("a", &spec(json!(3))).await;
    assert_eq!(puppets.served("a").await["status"]["count"], 3);
}

#[tokio::test]
async fn what_a_handler_says_of_children_that_were_refused_is_not_told() {
    let puppets = PuppetNamespace::serve("refused-child").await;
    let mut child = config_map("a", "key", "a");
    child["data"]["key"] = json!(1);
    let spec = json!({
        "do": "apply",
        "children": [child],
        "status": {"phase": "Applied"},
        "events": [{"severity": "normal", "reason": "Applied", "message": "all of it"}],
    });
    puppets.apply("a", &spec).await;
    puppets.outcome("a", "False", "Rejected").await;
    let events = puppets.wait_for_events("a", 1).await;
    assert!(
        !events.iter().any(|event| event.contains("all of it")),
        "{events:?}"
    );
    let puppet = puppets.namespace.get(PUPPET, "a").await.unwrap();
    assert!(puppet["status"]["phase"].is_null());
}
