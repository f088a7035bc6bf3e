//! The host goes, as docs/cluster.md says, and leaves nothing behind but what it made for others.

use std::time::Duration;

use handler_host_tests::namespace::PVC;
use handler_host_tests::{Namespace, evc, eventually, paths};

use crate::host::Host;

const DEADLINE: Duration = Duration::from_secs(180);
/// What all objects of `host/deploy` carry.
const LABEL: &str = "app.kubernetes.io/part-of=handler-host";
/// What their names contain, and that of the example's kind.
const OURS: [&str; 2] = ["handler-host", "kopf.dev"];

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn nothing_is_left_but_what_handlers_made() {
    let host = Host::turn().await;
    let claims = Namespace::create(host.node.control_plane(), "kept").await;
    claims.create_object(&evc("kept", "1Gi")).await.unwrap();
    host.ready(&claims, "kept").await;

    // Who sees nothing now would see nothing left either.
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

/// What is the host's or the example's, of all kinds that the API server knows and in all namespaces: by its label,
/// or by its name, as what the host itself made has no label.
async fn left(host: &Host) -> Result<Vec<String>, String> {
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
        // A kind may go between being told and being listed.
        let told = host.node.kubectl([list, &["--output=name"]].concat()).await;
        if told.code != Some(0) {
            return Err(told.stderr);
        }
        let is_labelled = list.contains(&LABEL);
        let is_ours = |line: &&str| is_labelled || OURS.iter().any(|name| line.contains(name));
        // The role of hosts that run beside a control plane of the suites.
        let is_of_suites = |line: &&str| line.contains("handler-host-tests");
        let lines = told.stdout.lines().filter(is_ours);
        left.extend(lines.filter(|line| !is_of_suites(line)).map(str::to_owned));
    }
    Ok(left)
}
