//! Parents whose CRD is not the one of this project: the CRD of Kopf's tutorial, and none at the start. Each test has a
//! control plane of its own, because a CRD belongs to the whole cluster.

use handler_host_tests::namespace::claims::{IN_TURN, operator};
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::objects::manifest;
use handler_host_tests::{
    ControlPlane, DEADLINE, Namespace, TestAccount, VolumeClaims, eventually, paths,
};

fn crd_of_kopf() -> std::path::PathBuf {
    paths::workspace().join("guest-evc/crd-kopf.yaml")
}

#[tokio::test]
async fn the_crd_of_kopfs_tutorial_works_unchanged() {
    let control_plane = ControlPlane::own(vec![crd_of_kopf()]).await;
    let mut claims = VolumeClaims::served(&control_plane, "kopf").await;
    claims.create("claim", "1024Mi").await;
    let claim = claims.ready("claim").await;
    let ready = &claim["status"]["conditions"][0];
    // A status that is written through the main resource raises the generation. If the status named the generation, the
    // host would write it again and again.
    assert_eq!(ready.get("observedGeneration"), None);
    assert_eq!(claim["status"]["handlers"]["evc"]["condition"], "Ready");
    claims.fence().await;

    let requests = claims.requests().await;
    let requests = requests.only(|entry| !matches!(entry.verb.as_str(), "list" | "watch"));
    let counts = |resource: &str| requests.resource(resource).writes().count();
    let writes = ["persistentvolumeclaims", "ephemeralvolumeclaims", "events"].map(counts);
    assert_eq!(writes, [1, 1, 1], "{requests}");
    assert_eq!(requests.count(), 3, "{requests}");
    let status = requests.resource("ephemeralvolumeclaims");
    assert_eq!(status.subresource("").count(), 1, "{requests}");

    claims.count_from_here().await;
    claims.touch("claim").await;
    claims.fence().await;
    let requests = claims.requests().await;
    assert_eq!(requests.count(), 0, "{requests}");

    claims.resize("claim", "lots").await;
    claims.not_ready("claim", "PermanentFailure").await;
    claims.resize("claim", "1Gi").await;
    claims.ready("claim").await;
    claims.fence().await;
    let requests = claims.requests().await.writes();
    let counts = |resource: &str| requests.resource(resource).count();
    let writes = ["persistentvolumeclaims", "ephemeralvolumeclaims", "events"].map(counts);
    // An annotation of the volume claim holds the digest of what was applied, which changes with the text of the size.
    assert_eq!(writes, [1, 2, 2], "{requests}");

    claims.namespace.delete(CLAIM, "claim").await.unwrap();
    claims
        .namespace
        .wait_until_gone(PVC, "claim", DEADLINE)
        .await;
}

#[tokio::test]
async fn a_host_says_once_that_the_crd_is_missing_and_serves_when_it_comes() {
    let control_plane = ControlPlane::own(Vec::new()).await;
    let namespace = Namespace::create(&control_plane, "later").await;
    let mark = control_plane.audit().mark();
    let mut early = operator(&control_plane, &namespace.name).start();
    let line = early.wait_for_line("does not serve", DEADLINE).await;
    assert!(line.contains("kopf.dev/v1 EphemeralVolumeClaim"), "{line}");
    assert!(
        line.contains("apply its CustomResourceDefinition"),
        "{line}"
    );
    eventually("it asked three times", DEADLINE, async || {
        let requests = control_plane
            .audit()
            .since(&mark)
            .by(TestAccount::Host.user());
        let asked = requests.only(|entry| entry.uri.starts_with("/apis/kopf.dev"));
        if asked.count() >= 3 {
            Ok(())
        } else {
            Err(asked.to_string())
        }
    })
    .await;
    let lines = early.lines_with("WARN");
    assert_eq!(lines.len(), 1, "{}", early.log());

    manifest::apply_crds(&namespace.client, &crd_of_kopf())
        .await
        .unwrap();
    early.wait_for_line("serving", DEADLINE).await;
    assert_eq!(early.lines_with("works again").len(), 1, "{}", early.log());
    early.terminate().await;

    let claims = VolumeClaims::served_in(&control_plane, namespace, &IN_TURN).await;
    claims.create_ready("claim", "1Gi").await;
    claims.volume("claim").await;
}
