//! Which objects of the parents' kind a handler is called for, and what becomes of those that are selected no more.

use handler_host_tests::control_plane::follow_advice;
use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET, ResourceKind};
use handler_host_tests::objects::{condition, puppet, text};
use handler_host_tests::{DEADLINE, Hosted, eventually, paths};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

const NAMESPACE: ResourceKind = ("v1", "Namespace");

/// A host that serves the Puppets that are selected so.
async fn served(prefix: &str, selection: &Value, finalizer: bool) -> Hosted {
    let hosted = Hosted::start(prefix).await;
    let parent = json!({"apiVersion": PUPPET.0, "kind": PUPPET.1});
    let children = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
    let mut selected = parent.clone();
    for (field, value) in selection.as_object().unwrap() {
        selected[field] = value.clone();
    }
    let spec = json!({
        "module": {"path": paths::guest("puppet").unwrap()},
        "parent": selected,
        "children": children,
        "config": {"parent": parent, "children": children, "finalizer": finalizer},
    });
    hosted.apply("puppet", &spec).await;
    let authorized = hosted
        .wait_for("puppet", "its rights are known", |found| {
            condition(found, "Authorized").is_some()
        })
        .await;
    let authorized = condition(&authorized, "Authorized").unwrap();
    if authorized["status"] == "False" {
        follow_advice(&text(&authorized["message"])).await;
    }
    hosted.told("puppet", "Ready", "True", "Serving").await;
    hosted
}

async fn put(hosted: &Hosted, name: &str, tier: &str) {
    let mut puppet = puppet(name, desire_entry(name, "x"));
    puppet["metadata"]["labels"] = json!({"tier": tier});
    hosted.namespace.apply(&puppet).await.unwrap();
}

async fn is_served(hosted: &Hosted, name: &str) {
    let namespace = &hosted.namespace;
    namespace
        .wait_for_ready(PUPPET, name, "True", "Reconciled", DEADLINE)
        .await;
    assert!(namespace.get(CONFIG_MAP, name).await.is_some());
}

async fn label(hosted: &Hosted, name: &str, tier: &str) {
    let patch = json!({"metadata": {"labels": {"tier": tier}}});
    hosted.namespace.merge(PUPPET, name, &patch).await.unwrap();
}

#[tokio::test]
async fn parents_are_watched_by_their_labels_and_what_is_not_selected_is_left_alone() {
    let selection = json!({"labelSelector": {"matchLabels": {"tier": "web"}}});
    let hosted = served("selected", &selection, true).await;
    let since = hosted.mark();
    put(&hosted, "other", "db").await;
    put(&hosted, "ours", "web").await;
    is_served(&hosted, "ours").await;
    let namespace = &hosted.namespace;
    assert_eq!(namespace.get(CONFIG_MAP, "other").await, None);
    let requests = hosted.requests(&since).await;
    assert_eq!(requests.named("other").count(), 0, "{requests}");

    // One that loses its label keeps its children, is told so, and has no finalizer that would hold it for ever.
    label(&hosted, "ours", "db").await;
    let is = |puppet: &Value| {
        condition(puppet, "Ready").is_some_and(|it| it["reason"] == "NotSelected")
            && puppet["metadata"].get("finalizers").is_none()
    };
    let what = "not selected and not held";
    let left = namespace.wait_for(PUPPET, "ours", what, DEADLINE, is).await;
    let message = text(&condition(&left, "Ready").unwrap()["message"]);
    assert!(
        message.ends_with("its children are left as they are"),
        "{message}"
    );
    namespace.delete(CONFIG_MAP, "ours").await.unwrap();
    put(&hosted, "third", "web").await;
    is_served(&hosted, "third").await;
    assert_eq!(namespace.get(CONFIG_MAP, "ours").await, None);
    // One that gains it is served again.
    label(&hosted, "ours", "web").await;
    is_served(&hosted, "ours").await;
    label(&hosted, "other", "web").await;
    is_served(&hosted, "other").await;
}

#[tokio::test]
async fn the_children_of_what_is_selected_no_more_are_deleted_where_the_administrator_says_so() {
    let selection = json!({
        "labelSelector": {"matchLabels": {"tier": "web"}}, "onParentUnmatch": "Delete",
    });
    let mut hosted = served("unmatched", &selection, true).await;
    put(&hosted, "p", "web").await;
    put(&hosted, "q", "web").await;
    is_served(&hosted, "p").await;
    is_served(&hosted, "q").await;
    label(&hosted, "p", "db").await;
    let namespace = &hosted.namespace;
    namespace.wait_until_gone(CONFIG_MAP, "p", DEADLINE).await;
    namespace
        .wait_for_ready(PUPPET, "p", "False", "NotSelected", DEADLINE)
        .await;
    eventually("no finalizer is left", DEADLINE, async || {
        let puppet = hosted.namespace.get(PUPPET, "p").await.unwrap();
        match puppet["metadata"].get("finalizers") {
            None => Ok(()),
            Some(finalizers) => Err(finalizers.to_string()),
        }
    })
    .await;
    // Also if the label goes while no host runs.
    hosted.operator.terminate().await;
    label(&hosted, "q", "db").await;
    hosted.restart().await;
    let namespace = &hosted.namespace;
    namespace.wait_until_gone(CONFIG_MAP, "q", DEADLINE).await;
    namespace
        .wait_for_ready(PUPPET, "q", "False", "NotSelected", DEADLINE)
        .await;
    label(&hosted, "q", "web").await;
    is_served(&hosted, "q").await;
}

#[tokio::test]
async fn parents_are_selected_by_the_labels_of_their_namespace() {
    let selection =
        json!({"namespaceSelector": {"matchLabels": {"tests.handler-host.dev/served": "yes"}}});
    let hosted = served("by-namespace", &selection, false).await;
    put(&hosted, "p", "web").await;
    put(&hosted, "q", "web").await;
    let set = async |value: Value| {
        let resource = handler_host_tests::objects::resource(NAMESPACE.0, NAMESPACE.1);
        let api: Api<DynamicObject> = Api::all_with(hosted.namespace.client.clone(), &resource);
        let labels = json!({"metadata": {"labels": {"tests.handler-host.dev/served": value}}});
        let (name, params) = (&hosted.namespace.name, PatchParams::default());
        let patch = Patch::Merge(labels);
        let patched = api.patch(name, &params, &patch);
        patched.await.unwrap();
    };
    set(json!("yes")).await;
    is_served(&hosted, "p").await;
    is_served(&hosted, "q").await;
    set(Value::Null).await;
    let namespace = &hosted.namespace;
    for name in ["p", "q"] {
        namespace
            .wait_for_ready(PUPPET, name, "False", "NotSelected", DEADLINE)
            .await;
        assert!(namespace.get(CONFIG_MAP, name).await.is_some());
    }
}

#[tokio::test]
async fn excluded_namespaces_are_left_alone() {
    let selection = json!({"excludedNamespaces": ["kube-system"]});
    let hosted = served("excluded", &selection, false).await;
    put(&hosted, "p", "web").await;
    is_served(&hosted, "p").await;
    let patch = json!({"spec": {"parent": {"excludedNamespaces": [hosted.namespace.name]}}});
    hosted.merge("puppet", &patch).await;
    let namespace = &hosted.namespace;
    namespace
        .wait_for_ready(PUPPET, "p", "False", "NotSelected", DEADLINE)
        .await;
}
