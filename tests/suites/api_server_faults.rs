//! Faults of the API server itself. Each test has a control plane of its own, whose servers it kills and starts again.

use std::time::Duration;

use handler_host_tests::namespace::claims::APPLIED;
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::programs::child;
use handler_host_tests::{ControlPlane, DEADLINE, TestAccount, VolumeClaims, eventually, paths};
use rustix::process::Signal;
use serde_json::json;

/// A control plane for claims of guest-evc.
async fn control_plane() -> ControlPlane {
    ControlPlane::own(vec![paths::workspace().join("guest-evc/crd.yaml")]).await
}

/// Waits until the API server answers the administrator.
async fn answers(control_plane: &ControlPlane) {
    eventually("the API server is ready", 2 * DEADLINE, async || {
        let client = control_plane.client_as(TestAccount::Admin).await;
        let request = http::Request::get("/readyz").body(Vec::new());
        client
            .request_text(request.map_err(|it| it.to_string())?)
            .await
            .map_err(|it| it.to_string())
    })
    .await;
}

/// Changes what the host has to notice, once the API server is back. The host does not see the changes as they are made.
async fn change_everything(claims: &VolumeClaims<'_>, round: &str) {
    let namespace = &claims.namespace;
    let edit = json!({"metadata": {"annotations": {APPLIED: null}}});
    namespace.merge(PVC, "edited", &edit).await.unwrap();
    namespace.delete(CLAIM, "deleted").await.unwrap();
    claims.create(&format!("new-{round}"), "1Gi").await;
}

/// Waits until a claim is ready. For half a minute after its start the API server may refuse, with 403, every owner of a
/// custom kind: its plugin OwnerReferencesPermissionEnforcement has listed the kinds before they were served.
async fn ready(claims: &VolumeClaims<'_>, name: &str) {
    let ready = claims
        .namespace
        .wait_for_ready(CLAIM, name, "True", "Reconciled", 4 * DEADLINE);
    ready.await;
}

/// Waits until the host has dealt with [`change_everything`], and restores what it needs.
async fn has_converged(claims: &mut VolumeClaims<'_>, round: &str) {
    ready(claims, &format!("new-{round}")).await;
    claims.volume_restored("edited").await;
    claims
        .namespace
        .wait_until_gone(PVC, "deleted", 2 * DEADLINE)
        .await;
    claims.create_ready("deleted", "1Gi").await;
    claims.fence().await;
}

#[tokio::test]
async fn the_host_goes_on_after_each_fault_of_the_api_server_and_writes_nothing_twice() {
    let control_plane = control_plane().await;
    let mut claims = VolumeClaims::served(&control_plane, "faults").await;
    for name in ["settled", "edited", "deleted"] {
        claims.create_ready(name, "1Gi").await;
    }
    claims.fence().await;
    let pid = claims.operator.pid();
    claims.count_from_here().await;

    for fault in ["kill", "stop"] {
        control_plane.command(&format!("{fault} kube-apiserver"));
        claims
            .operator
            .wait_for_line("trying again", 2 * DEADLINE)
            .await;
        control_plane.command("start kube-apiserver");
        answers(&control_plane).await;
        change_everything(&claims, fault).await;
        has_converged(&mut claims, fault).await;
    }

    // Every request of the host has to wait.
    let server = control_plane.ready().servers["etcd"];
    child::signal(server, Signal::STOP);
    let create = claims.create("new-slow", "1Gi");
    let go_on = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        child::signal(server, Signal::CONT);
    };
    futures::join!(create, go_on);
    ready(&claims, "new-slow").await;

    claims.fence().await;
    let requests = claims.requests().await;
    let settled = requests.named("settled").writes();
    assert_eq!(settled.count(), 0, "{settled}");
    for name in ["new-kill", "new-stop", "new-slow"] {
        let created = requests
            .resource("persistentvolumeclaims")
            .named(name)
            .code(201);
        assert!(created.count() <= 1, "{created}");
        let events = claims.events(name).await;
        let made = events
            .iter()
            .filter(|[_, reason, _]| reason == "Reconciled");
        assert_eq!(made.count(), 1, "{events:?}");
    }
    assert_eq!(claims.operator.pid(), pid);
}

#[tokio::test]
async fn watches_that_are_resumed_after_a_compaction_list_anew() {
    let control_plane = control_plane().await;
    let (mut relay, mut claims) =
        VolumeClaims::served_through_a_relay(&control_plane, "compacted").await;
    for name in ["settled", "edited", "deleted"] {
        claims.create_ready(name, "1Gi").await;
    }
    claims.fence().await;
    claims.count_from_here().await;
    relay.cut().await;
    change_everything(&claims, "meanwhile").await;
    // The API server starts with what etcd has then, so that nobody can tell the host what it missed.
    for command in [
        "compact etcd",
        "kill kube-apiserver",
        "start kube-apiserver",
    ] {
        control_plane.command(command);
    }
    answers(&control_plane).await;
    relay.mend().await;
    has_converged(&mut claims, "meanwhile").await;
    let requests = claims.requests().await;
    let settled = requests.named("settled").writes();
    assert_eq!(settled.count(), 0, "{settled}");
    let lists = requests.resource("ephemeralvolumeclaims").verb("list");
    assert!(lists.count() >= 1, "{requests}");
}

#[tokio::test]
async fn the_host_goes_on_while_the_api_server_is_slow_and_its_connections_are_reset() {
    let control_plane = control_plane().await;
    let (relay, mut claims) = VolumeClaims::served_through_a_relay(&control_plane, "slow").await;
    for name in ["settled", "edited", "deleted"] {
        claims.create_ready(name, "1Gi").await;
    }
    claims.fence().await;
    let pid = claims.operator.pid();
    claims.count_from_here().await;
    relay.slow_down(Duration::from_secs(2));
    change_everything(&claims, "slow").await;
    has_converged(&mut claims, "slow").await;
    for round in 0..20 {
        relay.reset();
        let name = format!("reset-{round}");
        claims.create(&name, "1Gi").await;
        relay.flow();
        if round % 5 == 0 {
            ready(&claims, &name).await;
        }
    }
    change_everything(&claims, "reset").await;
    has_converged(&mut claims, "reset").await;
    let requests = claims.requests().await;
    let settled = requests.named("settled").writes();
    assert_eq!(settled.count(), 0, "{settled}");
    for round in 0..20 {
        let name = format!("reset-{round}");
        ready(&claims, &name).await;
        let of_claim = requests.named(&name);
        let created = of_claim.resource("persistentvolumeclaims").code(201);
        assert!(created.count() <= 1, "{created}");
    }
    assert_eq!(claims.operator.pid(), pid);
}

#[tokio::test]
async fn a_cluster_that_is_restored_from_an_older_copy_is_listed_anew() {
    let control_plane = control_plane().await;
    let mut claims = VolumeClaims::served(&control_plane, "older").await;
    for name in ["settled", "edited", "deleted", "resized"] {
        claims.create_ready(name, "1Gi").await;
    }
    claims.fence().await;
    for command in [
        "stop kube-apiserver",
        "stop etcd",
        "save etcd",
        "start etcd",
        "start kube-apiserver",
    ] {
        control_plane.command(command);
    }
    answers(&control_plane).await;
    // After the copy: all of this is undone by the restoration, though the host has seen it.
    claims.create("later", "1Gi").await;
    ready(&claims, "later").await;
    claims.namespace.delete(CLAIM, "deleted").await.unwrap();
    claims
        .namespace
        .wait_until_gone(PVC, "deleted", DEADLINE)
        .await;
    claims.resize("resized", "1024Mi").await;
    claims.ready("resized").await;
    for index in 0..20 {
        claims.create_ready(&format!("more-{index}"), "1Gi").await;
    }
    claims.fence().await;

    for command in [
        "stop kube-apiserver",
        "stop etcd",
        "restore etcd",
        "start etcd",
        "start kube-apiserver",
    ] {
        control_plane.command(command);
    }
    answers(&control_plane).await;
    let restored = claims.namespace.get(CLAIM, "deleted").await;
    assert!(restored.is_some(), "the copy is older than the deletion");
    assert!(claims.namespace.get(CLAIM, "later").await.is_none());
    // The claim that is back is served again, the changed one as it was, and the host acts on what is there now.
    claims.create("after", "1Gi").await;
    ready(&claims, "after").await;
    let restored = claims.volume("deleted").await;
    claims.delete_volume("deleted").await;
    claims.volume_made_again(&restored).await;
    let edit = json!({"metadata": {"annotations": {APPLIED: null}}});
    claims.namespace.merge(PVC, "edited", &edit).await.unwrap();
    claims.volume_restored("edited").await;
    claims.resize("resized", "1024Mi").await;
    claims.ready("resized").await;
}
