//! The host goes, as docs/cluster.md says, and leaves nothing behind but what it made for others.

use handler_host_tests::namespace::PVC;
use handler_host_tests::{Namespace, evc, eventually, paths};

use crate::host::Host;

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn nothing_is_left_but_what_handlers_made() {
    let host = Host::turn().await;
    let claims = Namespace::create(host.node.control_plane(), "kept").await;
    claims.create_object(&evc("kept", "1Gi")).await.unwrap();
    host.ready(&claims, "kept").await;

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

    let kinds = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings";
    eventually(
        "nothing is left",
        std::time::Duration::from_secs(180),
        async || {
            let found = host
                .kubectl(&["get", kinds, "--output", "name"])
                .await
                .stdout;
            let left: Vec<_> = found
                .lines()
                .filter(|line| {
                    line.contains("handler-host") && !line.contains("handler-host-tests")
                })
                .map(str::to_owned)
                .collect();
            left.is_empty().then_some(()).ok_or(left.join(" "))
        },
    )
    .await;
}
