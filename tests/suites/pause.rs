//! Handlers and single parents that somebody paused: they are left alone, and nothing is lost meanwhile.

use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::{ControlPlane, DEADLINE, Hosted, VolumeClaims};
use serde_json::{Value, json};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Waits until the Handler's status names the module of this digest.
async fn has_module(hosted: &Hosted, digest: &str) {
    let what = format!("its module is {digest}");
    let is_so = |handler: &Value| handler["status"]["module"]["digest"] == digest;
    hosted.wait_for("evc", &what, is_so).await;
}

#[tokio::test]
async fn a_paused_handler_writes_nothing_and_then_makes_up_for_all_that_changed() {
    let mut hosted = Hosted::start("paused").await;
    hosted.put("evc.wasm", "one", "ok");
    let spec = hosted.claims_from("evc.wasm");
    hosted.apply("evc", &spec).await;
    let claims = names(&["kept", "without-volume"]);
    hosted.make(&claims).await;
    hosted.ready(&claims).await;

    hosted
        .merge("evc", &json!({"spec": {"paused": true}}))
        .await;
    let message = hosted.told("evc", "Ready", "False", "Paused").await;
    assert!(message.contains("spec.paused is true"), "{message}");
    let since = hosted.mark();
    let namespace = &hosted.namespace;
    namespace.delete_volume("without-volume").await;
    namespace
        .wait_until_gone(PVC, "without-volume", DEADLINE)
        .await;
    hosted.make(&names(&["new"])).await;
    // Another module is loaded, and takes over without being called.
    let two = hosted.put("evc.wasm", "two", "ok");
    has_module(&hosted, &two).await;
    // So does a host that is started meanwhile.
    hosted.restart().await;
    hosted.operator.wait_for_line("serving", DEADLINE).await;
    hosted.put("evc.wasm", "one", "ok");
    let three = hosted.put("evc.wasm", "three", "ok");
    has_module(&hosted, &three).await;
    let requests = hosted.requests(&since).await;
    assert_eq!(requests.writes().count(), 0, "{requests}");

    hosted
        .merge("evc", &json!({"spec": {"paused": false}}))
        .await;
    let all = names(&["kept", "without-volume", "new"]);
    hosted.ready(&all).await;
    hosted.follow(&all, "three").await;
    hosted.serves("evc", &three).await;
}

#[tokio::test]
async fn a_parent_with_the_annotation_is_left_alone_until_it_is_taken_off() {
    let control_plane = ControlPlane::shared().await;
    let mut claims = VolumeClaims::served(control_plane, "paused-one").await;
    for name in ["kept", "doomed"] {
        claims.create_ready(name, "1Gi").await;
        let pause = json!({"metadata": {"annotations": {"handler-host.dev/paused": "true"}}});
        claims.change(name, &pause).await;
        let message = claims.not_ready(name, "Paused").await;
        assert!(
            message.contains("take the annotation off to go on"),
            "{message}"
        );
    }
    claims.fence().await;
    claims.count_from_here().await;
    claims.delete_volume("kept").await;
    claims
        .namespace
        .wait_until_gone(PVC, "kept", DEADLINE)
        .await;
    claims.resize("kept", "2Gi").await;
    claims.namespace.delete(CLAIM, "doomed").await.unwrap();
    claims.fence().await;
    let written = claims.requests_about("kept").await.writes();
    // That the claim of this generation is paused.
    assert_eq!(written.count(), 1, "{written}");
    assert_eq!(written.subresource("status").count(), 1, "{written}");
    assert_eq!(claims.requests_about("doomed").await.writes().count(), 0);

    let go_on = json!({"metadata": {"annotations": {"handler-host.dev/paused": null}}});
    claims.change("kept", &go_on).await;
    claims.ready("kept").await;
    let volume = claims.volume("kept").await;
    assert_eq!(
        volume["spec"]["resources"]["requests"]["storage"], "2Gi",
        "{volume}"
    );
}
