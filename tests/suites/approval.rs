//! Handlers with `spec.rollout.preview: Required`, whose modules wait until a user approves their digest.

use handler_host_tests::Hosted;
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::objects::names;
use serde_json::{Value, json};

/// A host with one Handler of claims that needs approvals and has variant `one` as its module, and its claims, all ready.
/// Returns the digest of the module too.
async fn serving(prefix: &str) -> (Hosted, Vec<String>, String) {
    let hosted = Hosted::start(prefix).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    let mut spec = hosted.claims_from("evc.wasm");
    spec["rollout"] = json!({"preview": "Required"});
    hosted.apply("evc", &spec).await;
    // The first module needs an approval as well.
    hosted
        .told("evc", "ModuleLoaded", "False", "AwaitingApproval")
        .await;
    hosted
        .told("evc", "Ready", "False", "ModuleNotLoaded")
        .await;
    approve(&hosted, &one).await;
    hosted.serves("evc", &one).await;
    let claims = names(4);
    hosted.make(&claims).await;
    hosted.follow(&claims, "one").await;
    hosted.ready(&claims).await;
    (hosted, claims, one)
}

async fn approve(hosted: &Hosted, digest: &str) {
    let annotations = json!({"handler-host.dev/approve": digest});
    let patch = json!({"metadata": {"annotations": annotations}});
    hosted.merge("evc", &patch).await;
}

/// Waits until a candidate is held and its preview is in the status.
async fn held(hosted: &Hosted, digest: &str) -> Value {
    let what = format!("candidate {digest} is previewed");
    let is_held = |handler: &Value| {
        let candidate = &handler["status"]["candidate"];
        candidate["digest"] == digest && candidate["preview"].is_object()
    };
    hosted.wait_for("evc", &what, is_held).await
}

#[tokio::test]
async fn a_candidate_is_held_with_the_counts_of_its_preview() {
    let (hosted, _, one) = serving("held").await;
    let before = (hosted.versions(CLAIM).await, hosted.versions(PVC).await);
    let two = hosted.put("evc.wasm", "two", "ok");
    let handler = held(&hosted, &two).await;
    assert_eq!(
        handler["status"]["candidate"]["preview"],
        json!({"parents": 4, "create": 0, "change": 4, "delete": 0, "failing": 0})
    );
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "AwaitingApproval")
        .await;
    assert!(
        message.contains(&format!("handler-host.dev/approve={two}")),
        "{message}"
    );
    hosted.serves("evc", &one).await;
    let after = (hosted.versions(CLAIM).await, hosted.versions(PVC).await);
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_candidate_takes_over_when_its_own_digest_is_approved() {
    let (hosted, claims, one) = serving("approval").await;
    let two = hosted.put("evc.wasm", "two", "ok");
    held(&hosted, &two).await;
    let three = hosted.put("evc.wasm", "three", "ok");
    held(&hosted, &three).await;
    for no_approval in [two.as_str(), "yes"] {
        approve(&hosted, no_approval).await;
        hosted
            .told("evc", "ModuleLoaded", "False", "AwaitingApproval")
            .await;
        hosted.serves("evc", &one).await;
    }
    approve(&hosted, &three).await;
    let handler = hosted.serves("evc", &three).await;
    hosted.follow(&claims, "three").await;
    hosted.told("evc", "ModuleLoaded", "True", "Loaded").await;
    let candidate = &handler["status"]["candidate"];
    assert!(candidate.is_null(), "{candidate}");
}
