//! Errors that only one object suffers: its parent is told in the API server's words, and all else goes on.

use handler_host_tests::control_plane::RefusingWebhook;
use handler_host_tests::guests::puppets::{desire, desire_entry};
use handler_host_tests::objects::kinds::{CONFIG_MAP, PVC};
use handler_host_tests::objects::{config_map, resource};
use handler_host_tests::{DEADLINE, Namespace, PuppetNamespace, eventually};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use rstest::rstest;
use serde_json::{Value, json};

/// Applies a cluster-scoped object. Its name should hold the namespace, which no other test has.
async fn apply_to_cluster(puppets: &PuppetNamespace, object: &Value) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let resource = resource(&text(&object["apiVersion"]), &text(&object["kind"]));
    let api: Api<DynamicObject> = Api::all_with(puppets.namespace.client.clone(), &resource);
    let params = PatchParams::apply("tests").force();
    let name = text(&object["metadata"]["name"]);
    api.patch(&name, &params, &Patch::Apply(object))
        .await
        .unwrap();
}

fn only(namespace: &str) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}})
}

/// The client config of a webhook that nobody serves.
fn dead() -> Value {
    json!({"url": "https://127.0.0.1:1/"})
}

/// A webhook for ConfigMaps.
fn webhook(name: &str, namespace: &str, client_config: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": format!("{name}-{namespace}")},
        "webhooks": [{
            "name": format!("{name}.example.com"), "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "namespaceSelector": only(namespace), "timeoutSeconds": 5,
            "clientConfig": client_config,
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE", "UPDATE"],
            }],
        }],
    })
}

#[tokio::test]
async fn a_dead_webhook_is_told_to_the_parents_whose_children_it_holds_and_to_no_others() {
    let puppets = PuppetNamespace::serve("dead-webhook").await;
    let webhook = webhook("dead", &puppets.namespace.name, &dead());
    apply_to_cluster(&puppets, &webhook).await;
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "volume"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let children = [config_map("held", "key", "a"), volume];
    puppets.apply("held", &desire(&children)).await;
    let message = puppets.outcome("held", "False", "Rejected").await;
    let part = "the API server fails with ConfigMap held: Internal error occurred: failed calling webhook \"dead.example.com\"";
    assert!(message.starts_with(part), "{message}");
    let is_there = |_: &Value| true;
    let namespace = &puppets.namespace;
    namespace
        .wait_for(PVC, "volume", "made", DEADLINE, is_there)
        .await;
    puppets.apply("free", &json!({"do": "apply"})).await;
    puppets.served("free").await;
    // It is no outage.
    let outages = puppets.operator.lines_with("applying children");
    assert!(outages.is_empty(), "{outages:?}");
}

/// Waits until a ConfigMap is refused: what refuses it takes effect some time after it was made.
async fn is_refused(namespace: &Namespace, refused: &Value) {
    eventually("it is refused", DEADLINE, async || {
        match namespace.create_object(refused).await {
            Err(_) => Ok(()),
            Ok(created) => {
                let name = created["metadata"]["name"].as_str().unwrap_or_default();
                let _ = namespace.delete(CONFIG_MAP, name).await;
                Err("it was created")
            }
        }
    })
    .await;
}

/// A ConfigMap that [`RefusingWebhook`] refuses with this code.
fn refused(name: &str, code: u16) -> Value {
    config_map(name, "refuse", &code.to_string())
}

/// What a parent is told, and how often its child was tried until then, does not hang on the code that a webhook chooses.
#[rstest]
#[case::as_bad_request(400)]
#[case::as_unauthorized(401)]
#[case::as_forbidden(403)]
#[case::as_not_found(404)]
#[case::as_timed_out(408)]
#[case::as_a_conflict(409)]
#[case::as_gone(410)]
#[case::as_invalid(422)]
#[case::as_too_many_requests(429)]
#[case::as_an_internal_error(500)]
#[case::as_unavailable(503)]
#[case::as_a_timeout(504)]
#[tokio::test]
async fn what_a_webhook_refuses_is_told_whatever_its_code(#[case] code: u16) {
    let server = RefusingWebhook::start().await;
    let puppets = PuppetNamespace::serve("webhook").await;
    let namespace = &puppets.namespace;
    let webhook = webhook("refusing", &namespace.name, &server.client_config());
    apply_to_cluster(&puppets, &webhook).await;
    let probe = refused("probe", 403);
    is_refused(namespace, &probe).await;

    let children = [refused("refused", code), config_map("taken", "key", "a")];
    puppets.apply("a", &desire(&children)).await;
    let message = puppets.outcome("a", "False", "Rejected").await;
    let words = "admission webhook \"refusing.example.com\" denied the request: not on a Friday";
    assert!(message.contains(words), "{message}");
    puppets.entry("taken", "a").await;
    // A parent whose children are taken is served, so it was no outage.
    puppets.apply("b", &desire_entry("b", "b")).await;
    puppets.served("b").await;

    puppets
        .apply("a", &desire(&[config_map("taken", "key", "a")]))
        .await;
    puppets.served("a").await;
    // An update is refused as a creation is, and then nothing is lost.
    let children = [refused("taken", code)];
    puppets.apply("a", &desire(&children)).await;
    let message = puppets.outcome("a", "False", "Rejected").await;
    assert!(message.contains("ConfigMap taken"), "{message}");
    puppets.entry("taken", "a").await;
    puppets
        .apply("a", &desire(&[config_map("taken", "key", "b")]))
        .await;
    puppets.entry("taken", "b").await;
    puppets.served("a").await;
}

/// A policy that refuses ConfigMaps with a code that looks like something else.
fn policy(namespace: &str, reason: &str) -> [Value; 2] {
    let name = format!("refuses-{namespace}");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE", "UPDATE"],
            }]},
            "validations": [{
                "expression": "object.metadata.name != 'refused'", "message": "no such name", "reason": reason,
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": only(namespace)},
        },
    });
    [policy, binding]
}

#[rstest]
#[case::as_forbidden("Forbidden")]
#[case::as_too_large("RequestEntityTooLarge")]
#[tokio::test]
async fn what_a_policy_refuses_is_told_whatever_its_code(#[case] reason: &str) {
    let puppets = PuppetNamespace::serve("policy").await;
    for object in policy(&puppets.namespace.name, reason) {
        apply_to_cluster(&puppets, &object).await;
    }
    let refused = config_map("refused", "key", "a");
    let namespace = &puppets.namespace;
    is_refused(namespace, &refused).await;
    puppets
        .apply("a", &desire(&[refused, config_map("taken", "key", "a")]))
        .await;
    let message = puppets.outcome("a", "False", "Rejected").await;
    assert!(message.contains("no such name"), "{message}");
    puppets.entry("taken", "a").await;
}

#[tokio::test]
async fn a_wrong_quantity_is_told_in_the_api_servers_words() {
    let puppets = PuppetNamespace::serve("quantity").await;
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "a"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "one"}}},
    });
    puppets.apply("a", &desire(&[volume])).await;
    let message = puppets.outcome("a", "False", "Rejected").await;
    assert!(
        message.contains("quantities must match the regular expression"),
        "{message}"
    );
}

#[tokio::test]
async fn a_status_that_is_too_large_is_told_and_a_smaller_one_heals_it() {
    let puppets = PuppetNamespace::serve("large-status").await;
    // Together this is more than etcd takes.
    let (status, filling) = ("x".repeat(255 << 10), "x".repeat(1_250 << 10));
    let spec = json!({"do": "apply", "status": {"text": status}, "filling": filling});
    puppets.apply("a", &spec).await;
    let message = puppets.outcome("a", "False", "Rejected").await;
    assert!(
        message.contains("the status that the handler gave"),
        "{message}"
    );
    puppets
        .apply("a", &json!({"do": "apply", "status": {"text": "x"}}))
        .await;
    puppets.served("a").await;
}

#[tokio::test]
async fn a_status_over_its_limit_is_denied() {
    let puppets = PuppetNamespace::serve("status-limit").await;
    let text = "x".repeat(300 << 10);
    puppets
        .apply("a", &json!({"do": "apply", "status": {"text": text}}))
        .await;
    let message = puppets.outcome("a", "False", "Denied").await;
    assert!(
        message.contains("its limit is 262144; make it smaller"),
        "{message}"
    );
}

#[tokio::test]
async fn a_refused_update_holds_back_neither_other_children_nor_deletions() {
    let puppets = PuppetNamespace::serve("held-back").await;
    let fixed = |value: &str| {
        let mut child = config_map("fixed", "key", value);
        child["immutable"] = json!(true);
        child
    };
    let children = [fixed("a"), config_map("old", "key", "a")];
    puppets.apply("a", &desire(&children)).await;
    puppets.served("a").await;
    let children = [fixed("b"), config_map("new", "key", "a")];
    puppets.apply("a", &desire(&children)).await;
    puppets.entry("new", "a").await;
    let namespace = &puppets.namespace;
    namespace.wait_until_gone(CONFIG_MAP, "old", DEADLINE).await;
    let message = puppets.outcome("a", "False", "Rejected").await;
    assert!(message.contains("immutable"), "{message}");
    puppets.apply("a", &desire_entry("fixed", "a")).await;
}
