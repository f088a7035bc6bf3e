//! API servers that cannot be reached, for a time or at the start.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use handler_host_tests::namespace::claims::{APPLIED, operator};
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::{
    ControlPlane, DEADLINE, Namespace, Relay, TestAccount, VolumeClaims, eventually,
};
use serde_json::json;

#[tokio::test]
async fn a_host_without_api_server_still_ends_on_sigterm_with_zero() {
    let control_plane = ControlPlane::shared().await;
    let relay = Relay::to(control_plane);
    let mut operator = operator(control_plane, "none")
        .kubeconfig(relay.kubeconfig())
        .start();
    let line = operator.wait_for_line("trying again", DEADLINE).await;
    assert!(line.contains("Connection refused"), "{line}");
    let (status, took) = operator.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", operator.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_host_says_once_that_the_api_server_is_away_and_serves_when_it_comes() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "awaited").await;
    let mut relay = Relay::to(control_plane);
    relay.hang_up().await;
    let options = operator(control_plane, &namespace.name);
    let mut operator = options.kubeconfig(relay.kubeconfig()).start();
    eventually("it tried three times", DEADLINE, async || {
        let tries = relay.accepted();
        if tries >= 3 {
            Ok(())
        } else {
            Err(tries.to_string())
        }
    })
    .await;
    // A connection can end in several ways, and the host reports each way once.
    let said = operator.lines_with("trying again");
    let problems: HashSet<_> = said
        .iter()
        .filter_map(|line| Some(line.split_once("WARN")?.1))
        .collect();
    assert_eq!(problems.len(), said.len(), "{}", operator.log());

    relay.mend().await;
    operator.wait_for_line("serving", DEADLINE).await;
    assert_eq!(
        operator.lines_with("works again").len(),
        1,
        "{}",
        operator.log()
    );
}

/// A relay, and claims whose operator uses it.
async fn served_through_a_relay(prefix: &str) -> (Relay, VolumeClaims<'static>) {
    VolumeClaims::served_through_a_relay(ControlPlane::shared().await, prefix).await
}

#[tokio::test]
async fn an_outage_in_the_middle_of_many_claims_loses_and_doubles_none() {
    const CLAIMS: usize = 60;
    let (mut relay, mut claims) = served_through_a_relay("cut-short").await;
    let names: Vec<_> = (0..CLAIMS).map(|index| format!("claim-{index}")).collect();
    let create = join_all(names.iter().map(|name| claims.create(name, "1Gi")));
    let cut = async {
        // The answers to some writes are lost as well.
        eventually("some volume claims", DEADLINE, async || {
            (claims.namespace.list(PVC).await.len() > 10).then_some(())
        })
        .await;
        relay.cut().await;
    };
    futures::join!(create, cut);
    claims
        .operator
        .wait_for_line("trying again", DEADLINE)
        .await;
    relay.mend().await;

    for name in &names {
        claims.ready(name).await;
    }
    assert_eq!(claims.namespace.list(PVC).await.len(), CLAIMS);
    let requests = claims.requests().await;
    // There may be fewer than claims: the API server logs a request that was cut off as timed out, but may have
    // carried it out.
    let created = requests.resource("persistentvolumeclaims").code(201);
    for name in &names {
        assert!(created.named(name).count() <= 1, "{}", requests.named(name));
    }
}

#[tokio::test]
async fn what_happens_in_an_outage_is_dealt_with_afterwards() {
    let (mut relay, mut claims) = served_through_a_relay("outage").await;
    for name in ["settled", "robbed", "deleted", "edited"] {
        claims.create_ready(name, "1Gi").await;
    }
    let robbed = claims.volume("robbed").await;
    claims.count_from_here().await;
    relay.cut().await;
    let namespace = &claims.namespace;
    namespace.delete(CLAIM, "deleted").await.unwrap();
    claims.delete_volume("robbed").await;
    namespace.wait_until_gone(PVC, "deleted", DEADLINE).await;
    let edit = json!({"metadata": {"annotations": {APPLIED: null}}});
    namespace.merge(PVC, "edited", &edit).await.unwrap();
    claims.create("late", "1Gi").await;
    claims
        .operator
        .wait_for_line("trying again", DEADLINE)
        .await;
    relay.mend().await;

    claims.ready("late").await;
    claims.volume("late").await;
    claims.volume_made_again(&robbed).await;
    claims.volume_restored("edited").await;
    // The host makes it again for a moment when it hears of the deletion of the volume claim before that of the claim.
    claims
        .namespace
        .wait_until_gone(PVC, "deleted", DEADLINE)
        .await;
    let writes = claims.requests().await.named("settled").writes();
    assert_eq!(writes.count(), 0, "{writes}");
    // For each of the two watches, the host reports once how connections end and how new ones are refused.
    let said = claims.operator.lines_with("trying again");
    assert!(said.len() <= 6, "{}", said.join("\n"));
}

#[tokio::test]
async fn a_host_in_an_outage_still_ends_on_sigterm_with_zero() {
    let (mut relay, mut claims) = served_through_a_relay("cut-off").await;
    claims.create_ready("claim", "1Gi").await;
    relay.cut().await;
    claims
        .operator
        .wait_for_line("trying again", DEADLINE)
        .await;
    let (status, took) = claims.operator.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", claims.operator.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_host_without_rights_says_which_and_keeps_trying() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "no-rights").await;
    let options = operator(control_plane, &namespace.name);
    let mark = control_plane.audit().mark();
    let nobody = TestAccount::Nobody;
    let mut operator = options.kubeconfig(control_plane.kubeconfig(nobody)).start();
    let line = operator
        .wait_for_line("watching kopf.dev/v1 EphemeralVolumeClaim", DEADLINE)
        .await;
    assert!(line.contains("User \"nobody\" cannot"), "{line}");
    eventually("it asked three times", DEADLINE, async || {
        let requests = control_plane.audit().since(&mark).by(nobody.user());
        let asked = requests
            .in_namespace(&namespace.name)
            .resource("ephemeralvolumeclaims");
        if asked.count() >= 3 {
            Ok(())
        } else {
            Err(asked.to_string())
        }
    })
    .await;
    let lines =
        operator.lines_with("User \"nobody\" cannot list resource \"ephemeralvolumeclaims\"");
    assert_eq!(lines.len(), 1, "{}", operator.log());
    // The host also reports once that rights are missing, with the remedy.
    operator.wait_for_line("nobody may not", DEADLINE).await;
    assert_eq!(operator.lines_with("nobody may not").len(), 1);
}
