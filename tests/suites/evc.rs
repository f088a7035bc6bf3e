//! EphemeralVolumeClaims from creation to deletion, and everything that can go wrong.

use std::time::Instant;

use handler_host_tests::namespace::claims::{APPLIED, IN_TURN, STORAGE_CLASS, foreign_volume};
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::objects::{object, resource};
use handler_host_tests::{ControlPlane, DEADLINE, Namespace, VolumeClaims, evc};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use rstest::rstest;
use serde_json::{Value, json};

/// An object without the metadata that the API server sets and a test cannot know.
fn without_server_fields(mut object: Value) -> Value {
    for field in [
        "creationTimestamp",
        "managedFields",
        "resourceVersion",
        "uid",
    ] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    object
}

#[tokio::test]
async fn a_claim_becomes_the_volume_claim_of_the_tutorial() {
    let claims = VolumeClaims::served(ControlPlane::shared().await, "tutorial").await;
    let claim = claims.create_ready("my-claim", "1G").await;

    let mut volume = without_server_fields(claims.volume("my-claim").await);
    let annotations = volume["metadata"]["annotations"].as_object_mut().unwrap();
    let applied = annotations.remove(APPLIED).unwrap();
    assert!(
        applied.as_str().unwrap().starts_with("sha256:"),
        "{applied}"
    );
    let uid = &claim["metadata"]["uid"];
    assert_eq!(
        volume,
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "my-claim",
                "namespace": claims.namespace.name,
                "annotations": {"volume.beta.kubernetes.io/storage-class": "standard"},
                "labels": {
                    "app.kubernetes.io/managed-by": "handler-host",
                    "handler-host.dev/handler": "evc",
                    "handler-host.dev/parent-uid": uid,
                },
                "ownerReferences": [{
                    "apiVersion": "kopf.dev/v1",
                    "kind": "EphemeralVolumeClaim",
                    "name": "my-claim",
                    "uid": uid,
                    "controller": true,
                    "blockOwnerDeletion": true,
                }],
                "finalizers": ["kubernetes.io/pvc-protection"],
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1G"}},
                "volumeMode": "Filesystem",
            },
            "status": {"phase": "Pending"},
        })
    );
}

#[tokio::test]
async fn a_new_claim_is_told_of_once_in_status_event_and_log() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "told").await;
    let claim = claims.create_ready("told", "1G").await;
    claims.fence().await;

    let status = &claim["status"];
    let mut ready = status["conditions"][0].clone();
    let since = ready.as_object_mut().unwrap().remove("lastTransitionTime");
    assert!(since.is_some_and(|since| since.as_str().unwrap().ends_with('Z')));
    assert_eq!(
        ready,
        json!({
            "type": "Ready",
            "status": "True",
            "reason": "Reconciled",
            "message": "1 child is as desired.",
            "observedGeneration": 1,
        })
    );
    assert_eq!(status["conditions"].as_array().unwrap().len(), 1);
    assert_eq!(status["handlers"]["evc"]["condition"], "Ready");
    let digest = status["handlers"]["evc"]["digest"].as_str().unwrap();
    assert!(
        digest.starts_with("sha256:") && digest.len() == 71,
        "{digest}"
    );
    let created = "Created PersistentVolumeClaim told";
    assert_eq!(
        claims.events("told").await,
        [["Normal", "Reconciled", created]]
    );
    let lines = claims.operator.lines_with("PVC child is created");
    let lines = lines.iter().filter(|line| line.contains("/told"));
    assert_eq!(lines.count(), 1, "{}", claims.operator.log());
}

#[tokio::test]
async fn the_storage_class_comes_from_the_config() {
    let arguments = ["--config", "storageClass=fast"];
    let claims = VolumeClaims::served_with(ControlPlane::shared().await, "class", &arguments).await;
    claims.create_ready("fast", "1G").await;
    let volume = claims.volume("fast").await;
    assert_eq!(volume["metadata"]["annotations"][STORAGE_CLASS], "fast");
}

#[tokio::test]
async fn named_labels_are_carried_to_the_volume_claim_and_taken_away_again() {
    let arguments = ["--config", "copyLabels=[app, tier]"];
    let control_plane = ControlPlane::shared().await;
    let claims = VolumeClaims::served_with(control_plane, "labels", &arguments).await;
    let mut claim = evc("labelled", "1G");
    let tool = "app.kubernetes.io/instance";
    claim["metadata"]["labels"] = json!({"app": "db", "tier": "gold", tool: "pruned-by-a-tool"});
    claims.namespace.create_object(&claim).await.unwrap();
    claims.ready("labelled").await;
    let volume = claims.volume("labelled").await;
    assert_eq!(volume["metadata"]["labels"]["app"], "db");
    assert_eq!(volume["metadata"]["labels"]["tier"], "gold");
    assert_eq!(volume["metadata"]["labels"].get(tool), None);

    let patch = json!({"metadata": {"labels": {"app": null, "tier": "iron"}}});
    claims.change("labelled", &patch).await;
    let volume = claims
        .volume_that("labelled", "has the new labels", |volume| {
            volume["metadata"]["labels"]["tier"] == "iron"
        })
        .await;
    assert_eq!(volume["metadata"]["labels"].get("app"), None);
}

#[tokio::test]
async fn resizing_an_unbound_volume_claim_is_refused_in_one_line_and_taken_back_at_once() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "resize").await;
    claims.create_ready("resized", "1Gi").await;
    let before = claims.volume("resized").await;

    claims.resize("resized", "2Gi").await;
    let message = claims.not_ready("resized", "Rejected").await;
    assert_eq!(
        message,
        "the API server refused PersistentVolumeClaim resized: PersistentVolumeClaim \"resized\" \
         is invalid: spec: Forbidden: spec is immutable after creation except resources.requests \
         and volumeAttributesClassName for bound claims"
    );
    assert_eq!(claims.volume("resized").await, before);

    claims.resize("resized", "1Gi").await;
    claims.ready("resized").await;
    claims.fence().await;
    assert_eq!(claims.volume("resized").await, before);
    let told = claims.events("resized").await;
    let reasons: Vec<_> = told.iter().map(|[_, reason, _]| reason.as_str()).collect();
    assert_eq!(reasons, ["Reconciled", "Rejected", "Reconciled"]);
    assert_eq!(told[1][2], message);
}

#[tokio::test]
async fn a_refused_volume_claim_is_tried_again_with_growing_pauses() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "pauses").await;
    claims.create_ready("refused", "1Gi").await;
    claims.count_from_here().await;
    claims.resize("refused", "2Gi").await;

    let tries = claims.tries("refused", 3).await;
    let started = Instant::now();
    assert!(seconds_between(&tries[0], &tries[1]) > 0.7, "{tries:?}");
    assert!(seconds_between(&tries[1], &tries[2]) > 1.4, "{tries:?}");
    // The status is written once, not once for each try.
    let statuses = claims.requests().await.resource("ephemeralvolumeclaims");
    assert_eq!(statuses.writes().count(), 1, "{statuses}");
    assert!(started.elapsed() < DEADLINE);
}

fn seconds_between(earlier: &str, later: &str) -> f64 {
    let parse = |text: &str| text.parse::<k8s_openapi::jiff::Timestamp>().unwrap();
    parse(later).duration_since(parse(earlier)).as_secs_f64()
}

#[tokio::test]
async fn a_bound_volume_claim_grows_but_does_not_shrink() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "bound").await;
    let class = namespace.name.clone();
    let classes: Api<DynamicObject> = Api::all_with(
        namespace.client.clone(),
        &resource("storage.k8s.io/v1", "StorageClass"),
    );
    let growing = json!({"provisioner": "none", "allowVolumeExpansion": true});
    let growing = object("storage.k8s.io/v1", "StorageClass", &class, &growing);
    let growing = serde_json::from_value(growing).unwrap();
    classes
        .create(&PostParams::default(), &growing)
        .await
        .unwrap();
    let config = format!("storageClass={class}");
    let claims = VolumeClaims::served_in(control_plane, namespace, &["--config", &config]).await;
    claims.create_ready("bound", "1Gi").await;
    bind(&claims.namespace, "bound", "1Gi").await;

    // The admission plugin learns of a new storage class a moment later.
    claims.resize("bound", "2Gi").await;
    claims
        .volume_that("bound", "has grown", |volume| {
            volume["spec"]["resources"]["requests"]["storage"] == "2Gi"
        })
        .await;
    claims.ready("bound").await;
    claims.resize("bound", "500Mi").await;
    let message = claims.not_ready("bound", "Rejected").await;
    assert!(
        message.contains("can not be less than status.capacity"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1);
    let volume = claims.volume("bound").await;
    assert_eq!(volume["spec"]["resources"]["requests"]["storage"], "2Gi");

    let _ = classes.delete(&class, &DeleteParams::default()).await;
}

/// Binds a volume claim, as the volume controller does when it finds a volume. That controller does not run here.
async fn bind(namespace: &Namespace, name: &str, capacity: &str) {
    let patch = json!({"spec": {"volumeName": format!("pv-{}", namespace.name)}});
    namespace.merge(PVC, name, &patch).await.unwrap();
    let patch = json!({"status": {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": capacity},
    }});
    let volumes = namespace.api(PVC);
    let (parameters, patch) = (PatchParams::default(), Patch::Merge(&patch));
    volumes
        .patch_status(name, &parameters, &patch)
        .await
        .unwrap();
}

#[rstest]
#[case::no_size(json!(null), "Size must be set. Got null.")]
#[case::empty(json!(""), "Size must be set. Got \"\".")]
#[case::bogus(json!("lots"), "Size must be a quantity such as 1Gi. Got \"lots\".")]
#[case::negative(json!("-1Gi"), "Size must be positive, such as 1Gi. Got \"-1Gi\".")]
#[tokio::test]
async fn a_wrong_size_is_told_once_left_alone_and_served_when_fixed(
    #[case] size: Value,
    #[case] message: &str,
) {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "wrong").await;
    claims.create("wrong", size).await;
    assert_eq!(claims.not_ready("wrong", "PermanentFailure").await, message);
    let told = ["Warning", "PermanentFailure", message].map(str::to_owned);
    some_seconds_pass(&mut claims).await;

    assert_eq!(claims.namespace.get(PVC, "wrong").await, None);
    assert_eq!(claims.events("wrong").await, [told]);
    let requests = claims.requests_about("wrong").await;
    let [status, event] = ["ephemeralvolumeclaims", "events"].map(|r| requests.resource(r).count());
    assert_eq!([status, event, requests.count()], [1, 1, 2], "{requests}");

    claims.resize("wrong", "1Gi").await;
    claims.ready("wrong").await;
    let volume = claims.volume("wrong").await;
    assert_eq!(volume["spec"]["resources"]["requests"]["storage"], "1Gi");
}

#[tokio::test]
async fn a_size_that_is_wrong_in_another_way_has_an_event_of_its_own() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "wronger").await;
    claims.create("wrong", "lots").await;
    let first = claims.not_ready("wrong", "PermanentFailure").await;
    claims.resize("wrong", "-1Gi").await;
    let second = claims.not_ready("wrong", "PermanentFailure").await;
    claims.fence().await;
    let told = claims.events("wrong").await;
    let notes: Vec<_> = told.iter().map(|[_, _, note]| note.clone()).collect();
    assert_eq!(notes, [first, second]);
}

#[tokio::test]
async fn a_claim_that_loses_its_size_keeps_its_volume_claim() {
    let claims = VolumeClaims::served(ControlPlane::shared().await, "loses").await;
    claims.create_ready("loses", "1Gi").await;
    let before = claims.volume("loses").await;
    claims.resize("loses", Value::Null).await;
    let message = claims.not_ready("loses", "PermanentFailure").await;
    assert_eq!(message, "Size must be set. Got null.");
    assert_eq!(claims.volume("loses").await, before);
}

/// Waits until the operator has tried another claim three times, with backoff. By then a hot loop or a retry that must
/// not come would show in the audit log.
async fn some_seconds_pass(claims: &mut VolumeClaims<'_>) {
    let name = "hourglass";
    claims
        .namespace
        .create_object(&foreign_volume(name))
        .await
        .unwrap();
    claims.create(name, "1Gi").await;
    claims.tries(name, 3).await;
    claims.fence().await;
}

#[tokio::test]
async fn a_host_serves_the_namespaces_it_is_given_and_no_other() {
    let control_plane = ControlPlane::shared().await;
    let other = Namespace::create(control_plane, "third").await;
    let second = Namespace::create(control_plane, "second").await;
    other.create_object(&evc("claim", "1Gi")).await.unwrap();
    let arguments = ["--namespace", &second.name, IN_TURN[0], IN_TURN[1]];
    let mark = control_plane.audit().mark();
    let mut claims = VolumeClaims::served_with(control_plane, "first", &arguments).await;
    claims.create_ready("claim", "1Gi").await;
    second.create_object(&evc("claim", "1Gi")).await.unwrap();
    second
        .wait_for_ready(CLAIM, "claim", "True", "Reconciled", DEADLINE)
        .await;
    claims.fence().await;

    let claim = other.get(CLAIM, "claim").await.unwrap();
    assert_eq!(claim.get("status"), None);
    assert_eq!(other.list(PVC).await, Vec::<Value>::new());
    let requests = control_plane.audit_since(&mark).await;
    let requests = requests.by("handler-host").in_namespace(&other.name);
    assert_eq!(requests.count(), 0, "{requests}");
}

#[tokio::test]
async fn a_claim_created_again_under_its_name_gets_a_volume_claim_of_its_own() {
    let claims = VolumeClaims::served(ControlPlane::shared().await, "again").await;
    let first = claims.create_ready("again", "1Gi").await;
    claims.namespace.delete(CLAIM, "again").await.unwrap();
    let second = claims.create("again", "2Gi").await;
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    let volume = claims
        .volume_that("again", "is the second claim's", |volume| {
            volume["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"]
        })
        .await;
    assert_eq!(volume["spec"]["resources"]["requests"]["storage"], "2Gi");
    claims.ready("again").await;
}
