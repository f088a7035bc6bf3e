//! Two hosts for the same Handlers: one serves, and the other stands by.

use std::time::Duration;

use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::objects::{names, resource};
use handler_host_tests::{Hosted, Operator, TestAccount, eventually};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(60);

/// A host with a Handler of claims that has variant `one` as its module, and a second host that stands by.
async fn two_hosts(test: &str) -> (Hosted, Operator, String) {
    let lease = format!("default/{test}");
    let hosted = Hosted::start_with(test, &["--lease", &lease, "--lease-duration", "5"]).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &one).await;
    let mut second = hosted.second_host();
    second.wait_for_line("standing by", DEADLINE).await;
    // The host that stands by has compiled the module, so that it can serve at once.
    second.wait_for_line("compiled", DEADLINE).await;
    (hosted, second, one)
}

#[tokio::test]
async fn a_host_that_stands_by_takes_over_at_once_when_the_other_is_told_to_stop() {
    let (mut hosted, mut second, one) = two_hosts("hand-over").await;
    let claims = names(5);
    hosted.make(&claims).await;
    hosted.ready(&claims).await;
    let mark = hosted.mark();
    let (claims_before, volumes_before) =
        (hosted.versions(CLAIM).await, hosted.versions(PVC).await);
    let (ended, _) = hosted.operator.terminate().await;
    assert!(ended.success(), "{}", hosted.operator.log());
    assert_eq!(hosted.operator.lines_with("gave the lease back").len(), 1);
    second.wait_for_line("took the lease", DEADLINE).await;
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "one").await;
    hosted.serves("evc", &one).await;
    // Everything that the first host did is unchanged, and was not done again.
    let mut claims_now = hosted.versions(CLAIM).await;
    claims_now.retain(|(name, _)| name != "new");
    let mut volumes_now = hosted.versions(PVC).await;
    volumes_now.retain(|(name, _)| name != "new");
    assert_eq!((claims_now, volumes_now), (claims_before, volumes_before));
    let written = hosted.requests_of(TestAccount::SecondHost, &mark).await;
    let created = written.resource("persistentvolumeclaims").writes();
    assert_eq!(created.count(), 1, "{created}");
}

#[tokio::test]
async fn a_host_that_stands_by_writes_nothing() {
    let (hosted, second, _) = two_hosts("stands-by").await;
    let mark = hosted.mark();
    let claims = names(5);
    hosted.make(&claims).await;
    hosted.ready(&claims).await;
    let two = hosted.put("evc.wasm", "two", "ok");
    hosted.serves("evc", &two).await;
    hosted.follow(&claims, "two").await;
    let requests = hosted.requests_of(TestAccount::SecondHost, &mark).await;
    assert_eq!(
        requests.writes().count(),
        0,
        "{}\n{}",
        requests.writes(),
        second.log()
    );
}

#[tokio::test]
async fn a_host_that_was_paused_past_its_lease_changes_nothing_when_it_wakes() {
    let (mut hosted, mut second, _) = two_hosts("paused").await;
    let (before, during, after) = (names(20), "during".to_owned(), "after".to_owned());
    // The host is stopped while it works on these claims.
    hosted.make(&before).await;
    hosted.operator.pause();
    hosted.make(std::slice::from_ref(&during)).await;
    second.wait_for_line("took the lease", DEADLINE).await;
    let mark = hosted.mark();
    hosted.follow(&before, "one").await;
    hosted.follow(std::slice::from_ref(&during), "one").await;
    hosted.operator.resume();
    hosted
        .operator
        .wait_for_line("lost the lease", DEADLINE)
        .await;
    hosted.make(std::slice::from_ref(&after)).await;
    hosted.follow(std::slice::from_ref(&after), "one").await;
    hosted.ready(&[after]).await;
    let written = hosted.requests_of(TestAccount::Host, &mark).await.writes();
    // A request that was on its way to the connection when the host was stopped is sent when it wakes. It changes nothing:
    // it creates what exists by now, or names the version of a parent that is none any more. Events may be told twice.
    let changed = written.only(|entry| entry.code < 300 && entry.resource != "events");
    assert_eq!(changed.count(), 0, "{written}\n{}", hosted.operator.log());
    // The host can take the lease again.
    second.terminate().await;
    hosted
        .operator
        .wait_for_lines("took the lease", 2, DEADLINE)
        .await;
    hosted.make(&["again".to_owned()]).await;
    hosted.follow(&["again".to_owned()], "one").await;
}

#[tokio::test]
async fn a_host_that_takes_over_does_not_try_again_what_was_rolled_back() {
    let (mut hosted, mut second, one) = two_hosts("rolled-back-before").await;
    let claims = names(3);
    hosted.make(&claims).await;
    hosted.ready(&claims).await;
    let bad = hosted.put("evc.wasm", "bad", "trap");
    hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    second.wait_for_lines("compiled", 2, DEADLINE).await;
    hosted.operator.kill().await;
    second.wait_for_line("took the lease", DEADLINE).await;
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "one").await;
    hosted.serves("evc", &one).await;
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    assert!(message.contains(&bad), "{message}");
    let tried = second.lines_with(&format!("to={}", &bad[7..19]));
    assert!(tried.is_empty(), "{tried:?}");
}

#[tokio::test]
async fn a_lease_that_somebody_else_takes_by_hand_is_respected_until_it_runs_out() {
    let lease = "default/by-hand";
    let mut hosted =
        Hosted::start_with("by-hand", &["--lease", lease, "--lease-duration", "5"]).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &one).await;
    let leases: Api<DynamicObject> = Api::namespaced_with(
        hosted.namespace.client.clone(),
        "default",
        &resource("coordination.k8s.io/v1", "Lease"),
    );
    let stolen = json!({"spec": {"holderIdentity": "somebody"}});
    let params = PatchParams::default();
    leases
        .patch("by-hand", &params, &Patch::Merge(&stolen))
        .await
        .unwrap();
    hosted
        .operator
        .wait_for_line("lost the lease", DEADLINE)
        .await;
    hosted
        .operator
        .wait_for_line("holder=somebody", DEADLINE)
        .await;
    hosted
        .operator
        .wait_for_lines("took the lease", 2, DEADLINE)
        .await;
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "one").await;
    let transitions = eventually("the lease counts", DEADLINE, async || {
        let lease = leases
            .get("by-hand")
            .await
            .map_err(|error| error.to_string())?;
        lease.data["spec"]["leaseTransitions"]
            .as_i64()
            .ok_or("no count".to_owned())
    });
    assert_eq!(transitions.await, 2);
}
