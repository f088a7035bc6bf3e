//! Volume claims that other users edit or delete, or whose names they take, and volume claims whose claim is deleted.

use std::time::{Duration, Instant};

use handler_host_tests::namespace::claims::{APPLIED, IN_TURN, foreign_volume};
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::{ControlPlane, DEADLINE, Namespace, VolumeClaims, evc};
use rstest::rstest;
use serde_json::{Value, json};

#[rstest]
#[case::carried_label_removed(json!({"labels": {"app": null}}))]
#[case::carried_label_changed(json!({"labels": {"app": "other"}}))]
#[case::digest_removed(json!({"annotations": {APPLIED: null}}))]
#[case::digest_changed(json!({"annotations": {APPLIED: "sha256:0"}}))]
#[case::owner_removed(json!({"ownerReferences": null}))]
#[case::parent_uid_removed(json!({"labels": {"handler-host.dev/parent-uid": null}}))]
#[case::parent_uid_changed(json!({"labels": {"handler-host.dev/parent-uid": "another"}}))]
// This edit removes it from the watch, which selects by label. The host finds it again by its owner reference.
#[case::handler_removed(json!({"labels": {"handler-host.dev/handler": null}}))]
#[case::all_labels_removed(json!({"labels": null}))]
#[tokio::test]
async fn a_volume_claim_edited_by_hand_is_restored_with_one_write(#[case] edit: Value) {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "edited").await;
    let mut claim = evc("edited", "1Gi");
    claim["metadata"]["labels"] = json!({"app": "db"});
    claims.namespace.create_object(&claim).await.unwrap();
    claims.ready("edited").await;
    let own = |volume: &Value| {
        let metadata = &volume["metadata"];
        let fields = ["uid", "labels", "annotations", "ownerReferences"];
        fields.map(|field| metadata[field].clone())
    };
    let before = claims.volume("edited").await;
    claims.fence().await;
    claims.count_from_here().await;

    let patch = json!({"metadata": edit});
    let edited = claims.namespace.merge(PVC, "edited", &patch).await.unwrap();
    assert_ne!(own(&edited), own(&before));
    claims
        .volume_that("edited", "is restored", |volume| {
            own(volume) == own(&before)
        })
        .await;
    claims.fence().await;
    let writes = claims.requests_about("edited").await.writes();
    let restored = writes.resource("persistentvolumeclaims").code(200).count();
    assert_eq!(restored, 1, "{writes}");
    assert_eq!(
        writes.resource("ephemeralvolumeclaims").count(),
        0,
        "{writes}"
    );
}

#[tokio::test]
async fn what_others_add_to_a_volume_claim_stays() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "added").await;
    claims.create_ready("added", "1Gi").await;
    claims.fence().await;
    claims.count_from_here().await;
    let patch = json!({"metadata": {"labels": {"backup": "daily"}, "annotations": {"by": "me"}}});
    let edited = claims.namespace.merge(PVC, "added", &patch).await.unwrap();
    claims.fence().await;
    assert_eq!(claims.volume("added").await, edited);
    let requests = claims.requests_about("added").await;
    assert_eq!(requests.count(), 0, "{requests}");
}

#[tokio::test]
async fn a_volume_claim_deleted_by_hand_is_made_again() {
    let claims = VolumeClaims::served(ControlPlane::shared().await, "deleted").await;
    claims.create_ready("deleted", "1Gi").await;
    let before = claims.volume("deleted").await;
    claims.namespace.delete(PVC, "deleted").await.unwrap();
    let after = claims
        .volume_that("deleted", "is another one", |volume| {
            volume["metadata"]["uid"] != before["metadata"]["uid"]
        })
        .await;
    assert_eq!(
        after["metadata"]["ownerReferences"],
        before["metadata"]["ownerReferences"]
    );
}

#[tokio::test]
async fn a_foreign_volume_claim_is_never_touched_and_replaced_as_soon_as_it_is_gone() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "foreign").await;
    let before = namespace
        .create_object(&foreign_volume("taken"))
        .await
        .unwrap();
    let mut claims = VolumeClaims::served_in(control_plane, namespace, &IN_TURN).await;
    claims.create("taken", "1Gi").await;
    let message = claims.not_ready("taken", "Conflict").await;
    let remedy = format!(
        "kubectl annotate persistentvolumeclaim taken -n {} handler-host.dev/hand-over-to=evc",
        claims.namespace.name
    );
    assert!(message.ends_with(&remedy), "{message}");
    claims.tries("taken", 3).await;
    claims.fence().await;
    let warning = ["Warning", "Conflict", &message].map(str::to_owned);
    assert_eq!(claims.events("taken").await, [warning]);
    assert_eq!(claims.volume("taken").await, before);

    let deleted = Instant::now();
    claims.delete_volume("taken").await;
    claims
        .volume_that("taken", "is the claim's", |volume| {
            volume["metadata"]["ownerReferences"][0]["name"] == "taken"
        })
        .await;
    assert!(
        deleted.elapsed() < Duration::from_secs(5),
        "{:?}",
        deleted.elapsed()
    );
    claims.ready("taken").await;
}

#[tokio::test]
async fn a_foreign_volume_claim_that_came_while_the_host_was_away_is_never_touched() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "usurped").await;
    claims.create_ready("usurped", "1Gi").await;
    claims.operator.terminate().await;
    claims.delete_volume("usurped").await;
    let before = claims
        .namespace
        .create_object(&foreign_volume("usurped"))
        .await
        .unwrap();

    claims.start_again().await;
    claims.not_ready("usurped", "Conflict").await;
    claims.fence().await;
    assert_eq!(claims.volume("usurped").await, before);
}

#[tokio::test]
async fn a_volume_claim_goes_with_its_claim() {
    let claims = VolumeClaims::served(ControlPlane::shared().await, "goes").await;
    claims.create_ready("goes", "1Gi").await;
    claims.namespace.delete(CLAIM, "goes").await.unwrap();
    claims
        .namespace
        .wait_until_gone(CLAIM, "goes", DEADLINE)
        .await;
    claims
        .namespace
        .wait_until_gone(PVC, "goes", DEADLINE)
        .await;
    let failed = claims.operator.lines_with("WARN");
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test]
async fn an_orphaned_volume_claim_outlives_its_claim() {
    let arguments = ["--on-parent-delete", "orphan", IN_TURN[0], IN_TURN[1]];
    let mut claims =
        VolumeClaims::served_with(ControlPlane::shared().await, "orphan", &arguments).await;
    claims.create_ready("orphan", "1Gi").await;
    let before = claims.volume("orphan").await;
    assert_eq!(before["metadata"].get("ownerReferences"), None);
    claims.namespace.delete(CLAIM, "orphan").await.unwrap();
    claims
        .namespace
        .wait_until_gone(CLAIM, "orphan", DEADLINE)
        .await;
    claims.fence().await;
    assert_eq!(claims.volume("orphan").await, before);
}
