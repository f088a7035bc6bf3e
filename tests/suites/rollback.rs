//! A module that does worse than the one before it is rolled back, and everything stays as it was.

use handler_host_tests::guests::variants::digest;
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::objects::{condition, names};
use handler_host_tests::{Hosted, eventually, paths, write_atomically};
use serde_json::{Value, json};

const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// A host with one Handler of claims that has this rollout and the module `evc.wasm`, variant `one`, and its claims, all
/// ready. Returns the digest of the module too.
async fn serving(prefix: &str, claims: usize, rollout: &Value) -> (Hosted, Vec<String>, String) {
    let hosted = Hosted::start(prefix).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    let mut spec = hosted.claims_from("evc.wasm");
    spec["rollout"] = rollout.clone();
    hosted.apply("evc", &spec).await;
    hosted.serves("evc", &one).await;
    let claims = names(claims);
    hosted.make(&claims).await;
    hosted.ready(&claims).await;
    (hosted, claims, one)
}

#[tokio::test]
async fn a_module_that_traps_on_every_claim_is_rolled_back_and_no_claim_ever_says_so() {
    let rollout = json!({"maxFailureRatio": 0.5, "window": "1m"});
    let (hosted, claims, one) = serving("rolled-back", 30, &rollout).await;
    let (claims_before, volumes_before) =
        (hosted.versions(CLAIM).await, hosted.versions(PVC).await);
    let bad = hosted.put("evc.wasm", "bad", "trap");
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    assert!(
        message.starts_with(&format!("Module {bad} was rolled back")),
        "{message}"
    );
    let handler = hosted.serves("evc", &one).await;
    let rolled_back = &handler["status"]["rolledBack"];
    assert_eq!(rolled_back["digest"], bad);
    assert_eq!(rolled_back["to"], one);
    let error = rolled_back["error"].as_str().unwrap();
    assert!(
        error.contains("Trapped") && error.contains("this variant traps"),
        "{error}"
    );
    let events = hosted.event("evc", "RolledBack").await;
    let told: Vec<_> = events
        .iter()
        .filter(|it| it.starts_with("RolledBack"))
        .collect();
    assert_eq!(told.len(), 1, "{events:?}");
    assert!(told[0].contains(&bad) && told[0].contains(&one), "{told:?}");

    // The good module goes on to serve new claims.
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "one").await;
    hosted.ready(&claims).await;
    let old = |mut versions: Vec<(String, String)>| {
        versions.retain(|(name, _)| name != "new");
        versions
    };
    assert_eq!(old(hosted.versions(CLAIM).await), claims_before);
    assert_eq!(old(hosted.versions(PVC).await), volumes_before);
}

#[tokio::test]
async fn a_module_that_refuses_what_the_one_before_served_is_rolled_back_too() {
    let (hosted, claims, one) = serving("refuses", 3, &json!({})).await;
    hosted.put("evc.wasm", "bad", "fail");
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    assert!(message.contains("3 of 3 parents"), "{message}");
    assert!(
        message.contains("PermanentFailure: Variant bad fails."),
        "{message}"
    );
    hosted.serves("evc", &one).await;
    hosted.ready(&claims).await;
}

#[tokio::test]
async fn a_module_once_rolled_back_is_tried_again_only_when_the_spec_changes() {
    let (mut hosted, claims, one) = serving("once", 3, &json!({"window": "1s"})).await;
    let bad = hosted.put("evc.wasm", "bad", "trap");
    hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    let swaps = |hosted: &Hosted| hosted.operator.lines_with("swapped the module").len();
    let before = swaps(&hosted);
    // A file with the same bytes is the same module.
    hosted.put("evc.wasm", "bad", "trap");
    let two = hosted.put("evc.wasm", "two", "ok");
    hosted.serves("evc", &two).await;
    hosted.follow(&claims, "two").await;
    hosted
        .operator
        .wait_for_line("passed its trial", DEADLINE)
        .await;
    hosted.put("evc.wasm", "bad", "trap");
    hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    hosted.serves("evc", &two).await;
    assert_eq!(swaps(&hosted), before + 1, "{}", hosted.operator.log());

    // After a restart the host still knows it: the good module serves, although the file is the bad one.
    hosted.restart().await;
    let handler = hosted.serves("evc", &two).await;
    assert_ne!(handler["status"]["module"]["digest"], one);
    hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "two").await;

    hosted
        .merge("evc", &json!({"spec": {"rollout": {"maxFailureRatio": 1}}}))
        .await;
    hosted.serves("evc", &bad).await;
}

#[tokio::test]
async fn a_module_that_did_well_so_far_is_the_one_to_return_to() {
    let (hosted, claims, _) = serving("so-far", 3, &json!({})).await;
    let two = hosted.put("evc.wasm", "two", "ok");
    hosted.serves("evc", &two).await;
    hosted.follow(&claims, "two").await;
    hosted.ready(&claims).await;
    // The trial of module two is not over yet.
    let bad = hosted.put("evc.wasm", "bad", "trap");
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    assert!(
        message.starts_with(&format!("Module {bad} was rolled back to {two}")),
        "{message}"
    );
    hosted.follow(&claims, "two").await;
}

#[tokio::test]
async fn failures_within_the_allowed_share_are_told_when_the_trial_is_over() {
    let rollout = json!({"maxFailureRatio": 0.6, "window": "2s"});
    let (hosted, _, _) = serving("allowed", 4, &rollout).await;
    let half = hosted.put("evc.wasm", "half", "half");
    hosted.serves("evc", &half).await;
    let what = "two of four claims say that they trapped";
    eventually(what, DEADLINE, async || {
        let claims = hosted.namespace.list(CLAIM).await;
        let trapped = claims.iter().filter(|claim| {
            condition(claim, "Ready").is_some_and(|ready| ready["reason"] == "Trapped")
        });
        match trapped.count() {
            2 => Ok(()),
            other => Err(format!("{other}\n{}", hosted.operator.log())),
        }
    })
    .await;
    let handler = hosted.wait_for("evc", "two parents fail", |it| {
        it["status"]["failingParents"] == 2
    });
    assert_eq!(handler.await["status"]["parents"], 4);
    hosted.told("evc", "ModuleLoaded", "True", "Loaded").await;
}

#[tokio::test]
async fn a_claim_that_the_module_before_would_have_refused_too_is_not_held_against_the_new_one() {
    // Both modules of this test are the guest evc, which refuses a claim without a size.
    let hosted = Hosted::start("own-fault").await;
    let evc = std::fs::read(paths::guest("evc").unwrap()).unwrap();
    write_atomically(&hosted.path("evc.wasm"), &evc);
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &digest(&evc)).await;
    // With one more custom section, the bytes differ and the code is the same.
    let mut other = evc.clone();
    other.extend([0, 2, 1, b'x']);
    write_atomically(&hosted.path("evc.wasm"), &other);
    let other = digest(&other);
    hosted.serves("evc", &other).await;
    // During the trial all new claims are wrong by themselves, and their statuses say so at once.
    for name in names(3) {
        let wrong = handler_host_tests::evc(&name, Value::Null);
        hosted.namespace.create_object(&wrong).await.unwrap();
    }
    for name in names(3) {
        let told =
            hosted
                .namespace
                .wait_for_ready(CLAIM, &name, "False", "PermanentFailure", DEADLINE);
        told.await;
    }
    hosted.serves("evc", &other).await;
}

#[tokio::test]
async fn a_restart_without_a_source_does_not_forget_what_was_rolled_back() {
    let (mut hosted, _, one) = serving("forgets", 3, &json!({})).await;
    let bad = hosted.put("evc.wasm", "bad", "trap");
    hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    let before = hosted.serves("evc", &one).await;
    std::fs::remove_file(hosted.path("evc.wasm")).unwrap();
    hosted.restart().await;
    hosted
        .told("evc", "ModuleLoaded", "False", "FetchFailed")
        .await;
    let after = hosted.serves("evc", &one).await;
    assert_eq!(after["status"]["rolledBack"]["digest"], bad);
    assert_eq!(
        after["status"]["rolledBack"],
        before["status"]["rolledBack"]
    );
}

#[tokio::test]
async fn where_nothing_was_kept_a_module_once_rolled_back_is_not_tried_either() {
    let (mut hosted, _, one) = serving("not-kept", 3, &json!({})).await;
    let bad = hosted.put("evc.wasm", "bad", "trap");
    hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    hosted.operator.terminate().await;
    std::fs::remove_dir_all(hosted.path("state")).unwrap();
    hosted.restart().await;
    hosted
        .told("evc", "Ready", "False", "ModuleNotLoaded")
        .await;
    let message = hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    assert!(message.contains(&bad), "{message}");
    let back = hosted.put("evc.wasm", "one", "ok");
    assert_eq!(back, one);
    hosted.serves("evc", &one).await;
}

#[tokio::test]
async fn after_a_restart_the_last_good_module_serves_though_its_source_is_gone() {
    let (mut hosted, claims, one) = serving("source-gone", 2, &json!({})).await;
    std::fs::remove_file(hosted.path("evc.wasm")).unwrap();
    let mark = hosted.mark();
    hosted.restart().await;
    hosted
        .told("evc", "ModuleLoaded", "False", "FetchFailed")
        .await;
    hosted.serves("evc", &one).await;
    hosted.make(&["new".to_owned()]).await;
    hosted.follow(&["new".to_owned()], "one").await;
    hosted.ready(&claims).await;
    let writes = hosted.requests(&mark).await.writes();
    let others = writes.only(|entry| claims.contains(&entry.name));
    assert_eq!(others.count(), 0, "{others}");
}
