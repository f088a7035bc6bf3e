//! Modules that are swapped in a cluster without a new Pod.

use std::path::Path;

use handler_host_tests::deployment::ExampleManifests;
use handler_host_tests::guests::variants::digest;
use handler_host_tests::node::deployed_host::{DEADLINE, DeployedHost};
use handler_host_tests::node::pods::uid_and_restarts;
use handler_host_tests::objects::kinds::PVC;
use handler_host_tests::{Namespace, Registry, evc, handler_host, variant};
use serde_json::json;

/// Patches the module of the Handler. The variants take no config, and with this rollout their trials cannot fail.
async fn patch(host: &DeployedHost, module: serde_json::Value) {
    let spec = json!({"module": module, "config": null, "rollout": {"maxFailureRatio": 1}});
    let patch = json!({"spec": spec}).to_string();
    host.kubectl(&[
        "patch", "handler", "evc", "--type", "merge", "--patch", &patch,
    ])
    .await;
}

/// Creates a claim and waits until its PVC carries the label of a variant.
async fn follows(claims: &Namespace, name: &str, variant: &str) {
    claims.create_object(&evc(name, "1Gi")).await.unwrap();
    let what = format!("it is of variant {variant}");
    let is_of = |volume: &serde_json::Value| volume["metadata"]["labels"]["variant"] == variant;
    claims.wait_for(PVC, name, &what, DEADLINE, is_of).await;
}

fn push(file: &Path, image: &str) -> impl Future<Output = handler_host_tests::Output> {
    let file = file.display().to_string();
    handler_host([
        "push".to_owned(),
        "--plain-http".to_owned(),
        file,
        image.to_owned(),
    ])
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_module_is_swapped_by_config_map_and_by_image_and_no_pod_is_restarted() {
    let host = DeployedHost::take_turn().await;
    let pods = host.settled().await;
    let before = [uid_and_restarts(&pods.0), uid_and_restarts(&pods.1)];
    let claims = Namespace::create(host.node.control_plane(), "swapped").await;

    let config_map =
        json!({"configMap": {"namespace": "handler-host", "name": "evc", "key": "evc.wasm"}});
    let handler = host.handler().await;
    let first = handler["status"]["module"]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    for name in ["one", "two"] {
        let module = variant(name, "ok");
        host.example.put(&module);
        host.apply(&host.example).await;
        patch(&host, config_map.clone()).await;
        host.serves(&digest(&module)).await;
        follows(&claims, &format!("by-map-{name}"), name).await;
    }

    let registry = Registry::start_on(host.node.address()).await;
    let image = format!("{}/evc:latest", registry.address());
    let directory = tempfile::tempdir().unwrap();
    for name in ["three", "four"] {
        let (file, module) = (directory.path().join("evc.wasm"), variant(name, "ok"));
        std::fs::write(&file, &module).unwrap();
        let pushed = push(&file, &image).await;
        assert_eq!(pushed.code, Some(0), "{}", pushed.stderr);
        // The second push moves the tag, and the Handler is not patched.
        if name == "three" {
            let by_image =
                json!({"image": image, "plainHttp": true, "pollInterval": "1s", "configMap": null});
            patch(&host, by_image).await;
        }
        host.serves(&digest(&module)).await;
        follows(&claims, &format!("by-image-{name}"), name).await;
    }

    let pods = host.settled().await;
    let after = [uid_and_restarts(&pods.0), uid_and_restarts(&pods.1)];
    assert_eq!(after, before, "a Pod was replaced or restarted");
    // The other tests expect the worked example as it was.
    host.kubectl(&["delete", "handler", "evc"]).await;
    host.apply(&ExampleManifests::checkout()).await;
    host.serves(&first).await;
    host.told("Ready", "True").await;
}
