//! The host ends and starts again. Everything that it knows is in the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use handler_host_tests::namespace::claims::{APPLIED, IN_TURN};
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::{ControlPlane, DEADLINE, VolumeClaims, evc, eventually};
use k8s_openapi::jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

#[tokio::test]
async fn a_restart_over_settled_claims_writes_nothing() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "settled").await;
    let names: Vec<_> = (0..50).map(|index| format!("claim-{index}")).collect();
    // The size is not in the canonical form, and a host that has just started must still see that nothing changed.
    join_all(names.iter().map(|name| claims.create(name, "1024Mi"))).await;
    for name in &names {
        claims.ready(name).await;
    }
    claims.fence().await;
    let (status, _) = claims.operator.terminate().await;
    assert_eq!(status.code(), Some(0));

    claims.count_from_here().await;
    claims.start_again().await;
    claims.fence().await;
    let requests = claims.requests().await;
    let others = requests.only(|entry| !matches!(entry.verb.as_str(), "list" | "watch"));
    assert_eq!(others.count(), 0, "{others}");
    // The host sends one list and one watch for each kind, for any number of claims.
    assert!(requests.count() <= 4, "{requests}");
}

#[tokio::test]
async fn what_happened_while_the_host_was_away_is_dealt_with_when_it_is_back() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "away").await;
    for name in ["changed", "deleted", "robbed", "edited", "left"] {
        claims.create_ready(name, "1Gi").await;
    }
    let robbed = claims.volume("robbed").await;
    claims.fence().await;
    claims.operator.terminate().await;

    let namespace = &claims.namespace;
    claims.create("created", "1Gi").await;
    claims.create("wrong", "lots").await;
    let label = json!({"metadata": {"labels": {"app": "db"}}});
    claims.change("changed", &label).await;
    namespace.delete(CLAIM, "deleted").await.unwrap();
    claims.delete_volume("robbed").await;
    let edit = json!({"metadata": {"annotations": {APPLIED: null}}});
    namespace.merge(PVC, "edited", &edit).await.unwrap();
    claims.count_from_here().await;
    claims.start_again().await;

    claims.ready("created").await;
    claims.not_ready("wrong", "PermanentFailure").await;
    claims
        .namespace
        .wait_until_gone(PVC, "deleted", DEADLINE)
        .await;
    claims.volume("created").await;
    claims
        .volume_that("changed", "has the label", |volume| {
            volume["metadata"]["labels"]["app"] == "db"
        })
        .await;
    claims.volume_made_again(&robbed).await;
    claims.volume_restored("edited").await;
    claims.fence().await;
    let requests = claims.requests().await;
    assert_eq!(requests.named("left").count(), 0, "{requests}");
    assert_eq!(requests.named("deleted").count(), 0, "{requests}");
    // The new claim takes two writes, the wrong one takes one, and three volume claims take one each.
    let writes = requests.writes().only(|entry| entry.resource != "events");
    assert_eq!(writes.count(), 6, "{writes}");
}

#[tokio::test]
async fn sigterm_ends_the_host_with_zero_and_a_word() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "sigterm").await;
    claims.create_ready("claim", "1Gi").await;
    let (status, took) = claims.operator.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", claims.operator.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    let lines = claims.operator.lines_with("stopping");
    assert_eq!(lines.len(), 1, "{}", claims.operator.log());
}

#[tokio::test]
async fn sigterm_in_the_middle_of_many_claims_leaves_nothing_unsaid() {
    let mut claims = VolumeClaims::served_with(ControlPlane::shared().await, "midst", &[]).await;
    let names: Vec<_> = (0..60).map(|index| format!("claim-{index}")).collect();
    join_all(names.iter().map(|name| claims.create(name, "1Gi"))).await;
    wait_for_volumes(&claims, 10).await;
    let (status, took) = claims.operator.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", claims.operator.log());
    assert!(took < Duration::from_secs(11), "{took:?}");
    // A claim that got its volume claim got its status as well.
    let volumes = claims.namespace.list(PVC).await;
    for volume in &volumes {
        let name = volume["metadata"]["name"].as_str().unwrap();
        let claim = claims.namespace.get(CLAIM, name).await.unwrap();
        assert_eq!(claim["status"]["conditions"][0]["status"], "True", "{name}");
    }
}

#[tokio::test]
async fn a_host_killed_in_the_middle_of_many_claims_doubles_and_forgets_none() {
    const CLAIMS: usize = 100;
    let mut claims = VolumeClaims::served_with(ControlPlane::shared().await, "killed", &[]).await;
    let names: Vec<_> = (0..CLAIMS).map(|index| format!("claim-{index}")).collect();
    let create = join_all(names.iter().map(|name| claims.create(name, "1Gi")));
    let (_, there) = futures::join!(create, wait_for_volumes(&claims, 20));
    claims.operator.kill().await;
    assert!(there >= 20);

    claims.start_again().await;
    let mut uids = BTreeMap::new();
    for name in &names {
        let claim = claims.ready(name).await;
        uids.insert(name.clone(), claim["metadata"]["uid"].clone());
    }
    let volumes = claims.namespace.list(PVC).await;
    assert_eq!(volumes.len(), CLAIMS);
    for volume in &volumes {
        let name = volume["metadata"]["name"].as_str().unwrap();
        assert_eq!(volume["metadata"]["ownerReferences"][0]["uid"], uids[name]);
    }
    // There may be fewer than claims: the API server logs a request that the kill cut off as timed out, but may
    // have carried it out.
    let created = claims
        .requests()
        .await
        .resource("persistentvolumeclaims")
        .code(201);
    for name in &names {
        assert!(created.named(name).count() <= 1, "{created}");
    }
}

/// Waits until there are at least `count` volume claims. Returns their number.
async fn wait_for_volumes(claims: &VolumeClaims<'_>, count: usize) -> usize {
    let what = format!("{count} volume claims");
    eventually(&what, DEADLINE, async || {
        let found = claims.namespace.list(PVC).await.len();
        if found >= count {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await
}

#[rstest]
#[case::asked_for("json")]
#[case::where_nobody_reads_it_at_a_terminal("auto")]
#[tokio::test]
async fn a_json_log_is_one_flat_object_a_line_from_start_to_stop(#[case] format: &str) {
    let arguments = ["--log-format", format, IN_TURN[0], IN_TURN[1]];
    let mut claims =
        VolumeClaims::served_with(ControlPlane::shared().await, format, &arguments).await;
    claims
        .namespace
        .create_object(&evc("claim", "1Gi"))
        .await
        .unwrap();
    claims.ready("claim").await;
    claims.operator.terminate().await;
    for line in claims.operator.lines() {
        let entry: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        assert!(entry["message"].is_string(), "{line}");
        assert!(entry["level"].is_string(), "{line}");
        let timestamp = entry["timestamp"].as_str().unwrap_or_default();
        assert!(timestamp.parse::<Timestamp>().is_ok(), "{line}");
        let is_flat = |value: &Value| !value.is_object() && !value.is_array();
        assert!(entry.as_object().unwrap().values().all(is_flat), "{line}");
    }
    let created = claims.operator.lines_with("PVC child is created");
    let created: Value = serde_json::from_str(&created[0]).unwrap();
    assert_eq!(created["handler"], "evc");
    assert_eq!(
        created["object"],
        format!("{}/claim", claims.namespace.name)
    );
}
