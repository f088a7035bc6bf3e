//! What the operators of a cluster see of the host: its service, its rights, its memory and its metrics.

use std::time::Duration;

use handler_host_tests::node::deployed_host::{DeployedHost, NAMESPACE};
use handler_host_tests::node::pods::{name, uid_and_restarts};
use handler_host_tests::objects::kinds::PVC;
use handler_host_tests::{Namespace, evc};
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_claim_gets_its_volume_claim() {
    let host = DeployedHost::take_turn().await;
    let claims = Namespace::create(host.node.control_plane(), "first").await;
    let claim = evc("my-claim", "1G");
    claims.create_object(&claim).await.unwrap();
    host.ready(&claims, "my-claim").await;
    let volume = claims.get(PVC, "my-claim").await.unwrap();
    assert_eq!(volume["spec"]["resources"]["requests"]["storage"], "1G");
    let owner = &volume["metadata"]["ownerReferences"][0];
    assert_eq!(owner["kind"], "EphemeralVolumeClaim");
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_right_taken_away_is_named_and_used_when_it_is_given_back() {
    let host = DeployedHost::take_turn().await;
    let claims = Namespace::create(host.node.control_plane(), "right").await;
    host.kubectl(&["delete", "clusterrolebinding", "handler-host:evc"])
        .await;
    claims.create_object(&evc("waits", "1Gi")).await.unwrap();
    let message = host.told("Authorized", "False").await;
    let (account, fix) = (
        "system:serviceaccount:handler-host:evc may not",
        "handler-host rbac --handler evc | kubectl apply -f -",
    );
    assert!(message.contains(account), "{message}");
    assert!(message.contains("persistentvolumeclaims"), "{message}");
    assert!(message.contains(fix), "{message}");
    assert!(claims.get(PVC, "waits").await.is_none());
    host.apply(&host.example).await;
    host.told("Authorized", "True").await;
    host.ready(&claims, "waits").await;
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn its_namespace_is_restricted() {
    let host = DeployedHost::take_turn().await;
    let bare = json!({"containers": [{"name": "bare", "image": "bare"}]});
    let overrides = json!({"spec": bare}).to_string();
    let run = [
        "run",
        "bare",
        "--namespace",
        NAMESPACE,
        "--image=bare",
        "--overrides",
        &overrides,
    ];
    let refused = host.node.kubectl(run).await;
    assert!(
        refused
            .stderr
            .contains("violates PodSecurity \"restricted:latest\""),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_thousand_claims_fit_into_64_mebibytes() {
    let host = DeployedHost::take_turn().await;
    let (leader, other) = host.settled().await;
    let before = [uid_and_restarts(&leader), uid_and_restarts(&other)];
    let claims = Namespace::create(host.node.control_plane(), "thousand").await;
    let mark = host.node.control_plane().audit().mark();
    host.make(&claims, 1000, Duration::ZERO, (1000, async || {}))
        .await;
    let slowest = host.served_once(&claims, 1000, &mark).await;
    for index in 0..1000 {
        host.ready(&claims, &format!("claim-{index}")).await;
    }
    let (leader, other) = host.settled().await;
    assert_eq!(
        [uid_and_restarts(&leader), uid_and_restarts(&other)],
        before
    );
    let mebibytes = |bytes: u64| bytes >> 20;
    for (what, pod) in [("leader", &leader), ("standby", &other)] {
        let memory = host.node.container(pod, "handler-host").memory();
        println!(
            "1000 claims: the {what} is {} MiB resident, {} MiB with pages of files, {} MiB at most, of {} MiB",
            mebibytes(memory.resident),
            mebibytes(memory.usage),
            mebibytes(memory.peak),
            mebibytes(memory.limit)
        );
        assert_eq!(memory.limit, 256 << 20);
        assert!(memory.resident < 64 << 20, "{memory:?}");
        assert_eq!(memory.kills, 0, "{memory:?}");
    }
    println!(
        "1000 claims, as fast as they are made: {:.2} s from claim to PVC at most",
        slowest.as_secs_f64()
    );
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn its_metrics_say_who_leads_and_what_was_done() {
    let host = DeployedHost::take_turn().await;
    let claims = Namespace::create(host.node.control_plane(), "metrics").await;
    claims.create_object(&evc("counted", "1Gi")).await.unwrap();
    host.ready(&claims, "counted").await;
    let (leader, other) = host.settled().await;
    let scrape = async |pod: &Value| {
        let path = format!(
            "/api/v1/namespaces/{NAMESPACE}/pods/{}:8080/proxy/metrics",
            name(pod)
        );
        host.kubectl(&["get", "--raw", &path]).await.stdout
    };
    let leads = |metrics: &str| {
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with("leader_election_master_status{"));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let (of_leader, of_other) = (scrape(&leader).await, scrape(&other).await);
    assert_eq!(
        (leads(&of_leader).as_str(), leads(&of_other).as_str()),
        ("1", "0")
    );
    let reconciled = "controller_runtime_reconcile_total{";
    assert!(of_leader.contains(reconciled), "{of_leader}");
}
