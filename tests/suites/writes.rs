//! The requests that claims cost, as the API server counts them.

use handler_host_tests::namespace::claims::APPLIED;
use handler_host_tests::objects::kinds::PVC;
use handler_host_tests::{AuditEntry, ControlPlane, VolumeClaims};
use rstest::rstest;
use serde_json::{Value, json};

/// The verb, the resource with its subresource, and the status code of each request, without lists and watches.
async fn requests(claims: &VolumeClaims<'_>) -> Vec<String> {
    let requests = claims.requests().await;
    let requests = requests.only(|entry| !matches!(entry.verb.as_str(), "list" | "watch"));
    let line = |entry: &AuditEntry| {
        let subresource = if entry.subresource.is_empty() {
            ""
        } else {
            "/"
        };
        let (resource, sub) = (&entry.resource, &entry.subresource);
        format!("{} {resource}{subresource}{sub} {}", entry.verb, entry.code)
    };
    requests.iter().map(line).collect()
}

#[tokio::test]
async fn a_new_claim_costs_two_writes_and_an_event_and_no_other_request() {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "new").await;
    claims.create("claim", "1024Mi").await;
    claims.ready("claim").await;
    claims.fence().await;
    let expected = [
        "patch persistentvolumeclaims 201",
        "patch ephemeralvolumeclaims/status 200",
        "create events 201",
    ];
    assert_eq!(requests(&claims).await, expected);
}

#[tokio::test]
async fn a_settled_claim_that_is_looked_at_again_costs_nothing() {
    let mut claims = settled("looked-at").await;
    claims.touch("claim").await;
    claims.fence().await;
    assert_eq!(requests(&claims).await, [""; 0]);
}

#[rstest]
#[case::label_on_the_claim(json!({"metadata": {"labels": {"app": "db"}}}), &["patch persistentvolumeclaims 200"])]
#[case::size_in_another_form(json!({"spec": {"size": "1Gi"}}), &[
    "patch persistentvolumeclaims 200",
    // The status says which generation was observed.
    "patch ephemeralvolumeclaims/status 200",
])]
#[case::wrong_size(json!({"spec": {"size": "lots"}}), &[
    "patch ephemeralvolumeclaims/status 200",
    "create events 201",
])]
#[tokio::test]
async fn a_changed_claim_costs_what_changes_and_no_more(
    #[case] change: Value,
    #[case] expected: &[&str],
) {
    let mut claims = settled("changed").await;
    claims.change("claim", &change).await;
    claims.fence().await;
    assert_eq!(requests(&claims).await, expected);
}

#[tokio::test]
async fn a_restored_volume_claim_costs_one_write() {
    let mut claims = settled("restored").await;
    let edit = json!({"metadata": {"annotations": {APPLIED: null}}});
    claims.namespace.merge(PVC, "claim", &edit).await.unwrap();
    claims.fence().await;
    let expected = ["patch persistentvolumeclaims 200"];
    assert_eq!(requests(&claims).await, expected);
}

#[tokio::test]
async fn a_claim_changed_many_times_in_a_row_is_written_at_most_so_often() {
    let mut claims = settled("flapping").await;
    for turn in 0..20 {
        let label = json!({"metadata": {"labels": {"turn": turn.to_string()}}});
        claims.change("claim", &label).await;
    }
    claims
        .volume_that("claim", "has the last label", |volume| {
            volume["metadata"]["labels"]["turn"] == "19"
        })
        .await;
    claims.fence().await;
    let requests = requests(&claims).await;
    assert!(requests.len() <= 20, "{requests:#?}");
    assert!(
        requests
            .iter()
            .all(|line| line == "patch persistentvolumeclaims 200")
    );
}

async fn settled(prefix: &str) -> VolumeClaims<'static> {
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, prefix).await;
    claims.create_ready("claim", "1024Mi").await;
    claims.fence().await;
    claims.count_from_here().await;
    claims
}
