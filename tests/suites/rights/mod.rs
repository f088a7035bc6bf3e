//! Handlers with service accounts of their own: which requests are sent in whose name, and what happens when rights are
//! missing.

mod deployed;
mod printed;
mod verbs;

use std::fs;

use handler_host_tests::control_plane::follow_advice;
use handler_host_tests::objects::kinds::{CLAIM, CONFIG_MAP, ResourceKind};
use handler_host_tests::objects::things::{THINGS, thing};
use handler_host_tests::objects::{condition, names, object};
use handler_host_tests::{ControlPlane, DEADLINE, Hosted, Operator, TestAccount};
use serde_json::{Value, json};

const HOST: &str = "system:serviceaccount:handler-host:handler-host";

/// The spec of a Handler of claims that acts as the service account `evc` of the namespace of the test.
fn claims_as_evc(hosted: &Hosted) -> Value {
    let mut spec = hosted.claims_from("evc.wasm");
    spec["serviceAccount"] = json!({"namespace": hosted.namespace.name, "name": "evc"});
    spec
}

#[tokio::test]
async fn a_handler_with_an_account_is_served_in_its_name_alone() {
    let hosted = Hosted::start_as("acting", TestAccount::Deployed, &[]).await;
    let (namespace, evc) = (
        hosted.namespace.name.clone(),
        hosted.service_account_user("evc"),
    );
    let mark = hosted.mark();
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &claims_as_evc(&hosted)).await;
    let message = hosted.told("evc", "Authorized", "False", "Forbidden").await;
    let name = hosted.name("evc");
    assert_eq!(
        message,
        format!(
            "the host, {HOST}, may not act as {evc}; grant it: handler-host rbac --handler {name} --namespace {namespace} | kubectl apply -f -"
        )
    );
    hosted.told("evc", "Ready", "False", "NotAuthorized").await;
    let claims = names(2);
    hosted.make(&claims).await;

    follow_advice(&message).await;
    hosted.told("evc", "Authorized", "True", "Authorized").await;
    hosted.serves("evc", &one).await;
    hosted.follow(&claims, "one").await;
    hosted.ready(&claims).await;

    // The dry runs of a preview are sent in its name as well.
    let spec = json!({"spec": {"rollout": {"preview": "Required"}}});
    hosted.merge("evc", &spec).await;
    hosted.told("evc", "ModuleLoaded", "True", "Loaded").await;
    hosted.put("evc.wasm", "two", "ok");
    let would_change = "change 2 and delete 0 children";
    hosted
        .told_that("evc", "ModuleLoaded", "AwaitingApproval", would_change)
        .await;

    let requests = hosted.requests(&mark).await.only(|it| it.code < 300);
    let of_objects = requests.only(|it| it.resource != "events");
    let by_evc = of_objects.only(|it| it.impersonated == evc);
    assert_eq!(of_objects.count(), by_evc.count(), "{of_objects}");
    assert_eq!(by_evc.dry_runs().count(), claims.len(), "{by_evc}");
    for resource in ["ephemeralvolumeclaims", "persistentvolumeclaims"] {
        for verb in ["list", "watch", "patch"] {
            let found = by_evc.resource(resource).verb(verb);
            assert!(found.count() > 0, "{verb} {resource}: {by_evc}");
        }
    }
    let events = requests.only(|it| it.resource == "events" && it.impersonated.is_empty());
    assert_eq!(events.count(), claims.len(), "{requests}");
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_named_and_used_when_it_is_given_back() {
    let hosted = Hosted::start_as("taken-right", TestAccount::Deployed, &[]).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &claims_as_evc(&hosted)).await;
    let message = hosted.told("evc", "Authorized", "False", "Forbidden").await;
    follow_advice(&message).await;
    hosted.serves("evc", &one).await;
    hosted.make(&["before".to_owned()]).await;
    hosted.ready(&["before".to_owned()]).await;
    // A second handler keeps its rights.
    hosted.install_thing(90).await;
    hosted.put("90.wasm", "other", "ok");
    let mut other = hosted.things_from(90);
    other["serviceAccount"] = json!({"namespace": hosted.namespace.name, "name": "other"});
    hosted.apply(&thing(90), &other).await;
    let message = hosted
        .told(&thing(90), "Authorized", "False", "Forbidden")
        .await;
    follow_advice(&message).await;
    hosted
        .told(&thing(90), "Authorized", "True", "Authorized")
        .await;

    let mark = hosted.mark();
    without(&hosted, "evc", "persistentvolumeclaims", "create").await;
    hosted.make(&["after".to_owned()]).await;
    let refused = hosted
        .namespace
        .wait_for_ready(CLAIM, "after", "False", "Rejected", DEADLINE);
    let refused = refused.await;
    let told = condition(&refused, "Ready").unwrap()["message"]
        .as_str()
        .unwrap();
    assert!(told.contains("cannot create resource"), "{told}");
    let message = hosted.told("evc", "Authorized", "False", "Forbidden").await;
    let (namespace, name) = (&hosted.namespace.name, hosted.name("evc"));
    assert_eq!(
        message,
        format!(
            "{} may not create persistentvolumeclaims in namespace {namespace}; grant it: handler-host rbac --handler {name} --namespace {namespace} | kubectl apply -f -",
            hosted.service_account_user("evc")
        )
    );
    hosted.event("evc", "Forbidden").await;
    let made = object(THINGS, &thing(90), "undisturbed", &json!({}));
    hosted.namespace.create_object(&made).await.unwrap();
    let there = hosted
        .namespace
        .wait_for(CONFIG_MAP, "undisturbed", "is made", DEADLINE, |_| true);
    there.await;

    follow_advice(&message).await;
    hosted.told("evc", "Authorized", "True", "Authorized").await;
    hosted.ready(&["after".to_owned()]).await;
    hosted.serves("evc", &one).await;
    assert_eq!(hosted.operator.lines_with(&message).len(), 1);

    // Each pass sends one such request, and the passes back off.
    let refused = hosted.requests(&mark).await.code(403);
    let refused = refused.resource("persistentvolumeclaims");
    assert!((1..=20).contains(&refused.count()), "{refused}");
}

#[tokio::test]
async fn what_could_not_be_said_for_want_of_a_right_is_said_when_it_is_granted() {
    let hosted = Hosted::start_as("unsaid", TestAccount::Deployed, &[]).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &claims_as_evc(&hosted)).await;
    let message = hosted.told("evc", "Authorized", "False", "Forbidden").await;
    follow_advice(&message).await;
    hosted.serves("evc", &one).await;
    without(&hosted, "evc", "ephemeralvolumeclaims/status", "patch").await;
    hosted.make(&["unsaid".to_owned()]).await;
    let status = "patch ephemeralvolumeclaims.kopf.dev/status";
    hosted
        .told_that("evc", "Authorized", "Forbidden", status)
        .await;
    let message = hosted.told("evc", "Authorized", "False", "Forbidden").await;
    follow_advice(&message).await;
    hosted.ready(&["unsaid".to_owned()]).await;
}

#[tokio::test]
async fn a_module_that_failed_its_trial_for_want_of_a_right_is_tried_anew() {
    let hosted = Hosted::start_as("trial-rights", TestAccount::Deployed, &[]).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &claims_as_evc(&hosted)).await;
    let message = hosted.told("evc", "Authorized", "False", "Forbidden").await;
    follow_advice(&message).await;
    hosted.serves("evc", &one).await;
    let claims = names(3);
    hosted.make(&claims).await;
    hosted.ready(&claims).await;
    without(&hosted, "evc", "persistentvolumeclaims", "patch").await;
    let two = hosted.put("evc.wasm", "two", "ok");
    hosted
        .told("evc", "ModuleLoaded", "False", "RolledBack")
        .await;
    let message = hosted.told("evc", "Authorized", "False", "Forbidden").await;
    follow_advice(&message).await;
    hosted.serves("evc", &two).await;
    hosted.follow(&claims, "two").await;
}

/// Removes a verb from the Role that `rbac` printed for a handler.
async fn without(hosted: &Hosted, handler: &str, resource: &str, verb: &str) {
    const ROLE: ResourceKind = ("rbac.authorization.k8s.io/v1", "Role");
    let name = format!("handler-host:{}", hosted.name(handler));
    let mut role = hosted.namespace.get(ROLE, &name).await.unwrap();
    for rule in role["rules"].as_array_mut().unwrap() {
        if rule["resources"] == json!([resource]) {
            let verbs = rule["verbs"].as_array_mut().unwrap();
            verbs.retain(|known| known != verb);
        }
    }
    // The API server refuses a rule without verbs.
    let rules = role["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["verbs"] != json!([]));
    let rules = json!({"rules": role["rules"]});
    hosted.namespace.merge(ROLE, &name, &rules).await.unwrap();
}

#[tokio::test]
async fn another_account_takes_over_at_once() {
    let hosted = Hosted::start_as("two-accounts", TestAccount::Deployed, &[]).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    let mut spec = claims_as_evc(&hosted);
    for account in ["evc", "other"] {
        spec["serviceAccount"]["name"] = json!(account);
        hosted.apply("evc", &spec).await;
        let message = hosted.told("evc", "Authorized", "False", "Forbidden").await;
        follow_advice(&message).await;
        hosted.told("evc", "Authorized", "True", "Authorized").await;
        hosted.serves("evc", &one).await;
        let mark = hosted.mark();
        let claim = [format!("of-{account}")];
        hosted.make(&claim).await;
        hosted.ready(&claim).await;
        let writes = hosted.requests(&mark).await.writes();
        let of_claim = writes.resource("persistentvolumeclaims");
        let user = hosted.service_account_user(account);
        assert_eq!(
            of_claim.only(|it| it.impersonated == user).count(),
            1,
            "{writes}"
        );
        assert_eq!(of_claim.count(), 1, "{writes}");
    }
}

#[tokio::test]
async fn a_handler_from_a_file_is_granted_all_namespaces_as_the_log_says_once() {
    let hosted = Hosted::start_as("filed-rights", TestAccount::Deployed, &[]).await;
    hosted.install_thing(91).await;
    hosted.put("91.wasm", "one", "ok");
    let mut spec = hosted.things_from(91);
    spec["serviceAccount"] = json!({"namespace": hosted.namespace.name, "name": "filed"});
    let directory = hosted.path("handlers");
    fs::create_dir(&directory).unwrap();
    let handler = json!({
        "apiVersion": "handler-host.dev/v1alpha1", "kind": "Handler",
        "metadata": {"name": hosted.name("filed")}, "spec": spec,
    });
    fs::write(directory.join("things.yaml"), handler.to_string()).unwrap();
    let operator = Operator::of(ControlPlane::shared().await, TestAccount::Deployed);
    let mut operator = operator
        .arg("--state-dir")
        .arg(hosted.path("other-state"))
        .arg("--handler")
        .arg(&directory)
        .start();
    let line = operator.wait_for_line("may not act as", DEADLINE).await;
    let advice = format!("rbac --handler {} | kubectl", directory.display());
    assert!(line.contains(&advice), "{line}");
    let made = object(THINGS, &thing(91), "a", &json!({}));
    hosted.namespace.create_object(&made).await.unwrap();
    follow_advice(&line).await;
    let namespace = &hosted.namespace;
    // The next review of the rights comes within ten seconds, and the watches are tried again after it.
    let there = namespace.wait_for(CONFIG_MAP, "a", "is made", DEADLINE * 2, |_| true);
    there.await;
    let again = "may do all that serving takes again";
    operator.wait_for_line(again, DEADLINE).await;
    let lines = operator.lines_with("may not act as");
    assert_eq!(lines.len(), 1, "{}", operator.log());
}

#[tokio::test]
async fn without_an_account_the_hosts_own_rights_are_looked_at() {
    let hosted = Hosted::start("own-rights").await;
    hosted.put("evc.wasm", "one", "ok");
    let module = hosted.path("evc.wasm");
    let operator = Operator::of(ControlPlane::shared().await, TestAccount::Nobody);
    let name = hosted.name("own");
    let mut operator = operator
        .namespace(&hosted.namespace.name)
        .module(&module)
        .arg("--name")
        .arg(&name)
        .start();
    let line = operator.wait_for_line("may not", DEADLINE).await;
    let advice = format!(
        "grant it: handler-host rbac --module {} --name {name} --namespace {} --host-account nobody | kubectl apply -f -",
        module.display(),
        hosted.namespace.name
    );
    assert!(line.contains(&advice), "{line}");
    follow_advice(&line).await;
    let claims = names(1);
    hosted.make(&claims).await;
    hosted.follow(&claims, "one").await;
    hosted.ready(&claims).await;
}
