//! The host is uninstalled as docs/how-to/run-in-a-cluster.md says. Only the children that handlers made are left.

use std::time::Duration;

use handler_host_tests::node::deployed_host::DeployedHost;
use handler_host_tests::objects::kinds::PVC;
use handler_host_tests::{Namespace, evc, eventually, paths};

const DEADLINE: Duration = Duration::from_secs(180);
/// The label that all objects of `host/deploy` carry.
const LABEL: &str = "app.kubernetes.io/part-of=handler-host";
/// Texts in the names of these objects and of the kind of the worked example.
const OURS: [&str; 2] = ["handler-host", "kopf.dev"];

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn nothing_is_left_but_what_handlers_made() {
    let host = DeployedHost::take_turn().await;
    let claims = Namespace::create(host.node.control_plane(), "kept").await;
    claims.create_object(&evc("kept", "1Gi")).await.unwrap();
    host.ready(&claims, "kept").await;

    // This shows that the function `left` finds the objects of the host.
    let before = left(&host).await.unwrap();
    for object in ["deployment.apps/handler-host", "serviceaccount/evc"] {
        assert!(before.iter().any(|it| it == object), "{before:?}");
    }
    host.kubectl(&["delete", "handlers", "--all"]).await;
    assert!(claims.get(PVC, "kept").await.is_some());
    let overlay = host.example.overlay().display().to_string();
    host.kubectl(&[
        "delete",
        "--ignore-not-found",
        "--wait=false",
        "-k",
        &overlay,
    ])
    .await;
    let base = paths::workspace()
        .join("host/deploy/base")
        .display()
        .to_string();
    host.kubectl(&["delete", "--ignore-not-found", "--wait=false", "-k", &base])
        .await;

    eventually("nothing is left", DEADLINE, async || {
        let left = left(&host).await?;
        left.is_empty().then_some(()).ok_or(left.join(" "))
    })
    .await;
}

/// The objects of the host and of the worked example, of all kinds that the API server serves and in all namespaces. They
/// are found by their label, or by their name, because objects that the host itself made have no label.
async fn left(host: &DeployedHost) -> Result<Vec<String>, String> {
    let listable = ["api-resources", "--verbs=list", "--output=name"];
    let kinds = host.kubectl(&listable).await.stdout;
    let kinds = kinds.lines().collect::<Vec<_>>().join(",");
    let named = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings";
    let lists: [&[&str]; 2] = [
        &["get", &kinds, "--all-namespaces", "--selector", LABEL],
        &["get", named],
    ];
    let mut left = Vec::new();
    for list in lists {
        // A kind may be deleted after the API server named it and before its objects are listed.
        let told = host.node.kubectl([list, &["--output=name"]].concat()).await;
        if told.code != Some(0) {
            return Err(told.stderr);
        }
        let is_labelled = list.contains(&LABEL);
        let is_ours = |line: &&str| is_labelled || OURS.iter().any(|name| line.contains(name));
        // This role belongs to the hosts of the suites that need no node.
        let is_of_suites = |line: &&str| line.contains("handler-host-tests");
        let lines = told.stdout.lines().filter(is_ours);
        left.extend(lines.filter(|line| !is_of_suites(line)).map(str::to_owned));
    }
    Ok(left)
}
