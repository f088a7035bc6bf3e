//! Kinds that come, go and change while their handlers are served, and the finalizers of handlers that end.

use handler_host_tests::control_plane::follow_advice;
use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET, ResourceKind};
use handler_host_tests::objects::things::{THINGS, thing};
use handler_host_tests::objects::{self, condition, config_map, object, puppet};
use handler_host_tests::{DEADLINE, Hosted, eventually, paths};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value, json};

/// The spec of a Handler of Puppets, with these kinds of children besides ConfigMaps.
fn puppets(hosted: &Hosted, more: &[Value], finalizer: bool) -> Value {
    let parent = json!({"apiVersion": PUPPET.0, "kind": PUPPET.1});
    let described = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
    let mut children = vec![described[0].clone()];
    children.extend(more.iter().cloned());
    std::fs::copy(paths::guest("puppet").unwrap(), hosted.path("puppet.wasm")).unwrap();
    json!({
        "module": {"path": hosted.path("puppet.wasm")}, "parent": parent, "children": children,
        "config": {"parent": parent, "children": children, "finalizer": finalizer},
    })
}

fn crds(hosted: &Hosted) -> Api<DynamicObject> {
    let resource = objects::resource("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    Api::all_with(hosted.namespace.client.clone(), &resource)
}

async fn serves(hosted: &Hosted, handler: &str) {
    hosted
        .wait_for(handler, "it serves", |found| {
            condition(found, "Ready").is_some_and(|it| {
                it["reason"] == "Serving"
                    && it["observedGeneration"] == found["metadata"]["generation"]
            })
        })
        .await;
}

/// Waits until the ConfigMap has this entry.
async fn entry(hosted: &Hosted, name: &str, value: &str) {
    let is = |found: &Value| found["data"]["key"] == value;
    let namespace = &hosted.namespace;
    namespace
        .wait_for(CONFIG_MAP, name, "as desired", DEADLINE, is)
        .await;
}

#[tokio::test]
async fn a_kind_that_is_not_served_takes_nothing_away_and_is_followed_when_it_comes() {
    let hosted = Hosted::start("missing-kind").await;
    hosted.apply("puppet", &puppets(&hosted, &[], false)).await;
    serves(&hosted, "puppet").await;
    let namespace = &hosted.namespace;
    namespace
        .apply(&puppet("old", desire_entry("old", "a")))
        .await
        .unwrap();
    entry(&hosted, "old", "a").await;

    let missing = json!({"apiVersion": THINGS, "kind": thing(70)});
    let spec = puppets(&hosted, std::slice::from_ref(&missing), false);
    hosted.apply("puppet", &spec).await;
    let message = hosted
        .told("puppet", "Ready", "False", "KindNotServed")
        .await;
    assert_eq!(
        message,
        format!(
            "The API server does not serve {THINGS} Thing70; apply its CustomResourceDefinition. All else is served."
        )
    );
    namespace.delete(CONFIG_MAP, "old").await.unwrap();
    entry(&hosted, "old", "a").await;
    namespace
        .apply(&puppet("new", desire_entry("new", "a")))
        .await
        .unwrap();
    entry(&hosted, "new", "a").await;

    hosted.install_thing(70).await;
    let message = hosted
        .told("puppet", "Authorized", "False", "Forbidden")
        .await;
    follow_advice(&message).await;
    serves(&hosted, "puppet").await;
    namespace
        .apply(&puppet("late", desire_entry("late", "a")))
        .await
        .unwrap();
    entry(&hosted, "late", "a").await;
}

/// The parents of a Handler whose module is the guest `puppet`.
fn things(hosted: &Hosted, index: usize) -> Value {
    let mut spec = puppets(hosted, &[], false);
    let parent = json!({"apiVersion": THINGS, "kind": thing(index)});
    spec["parent"] = parent.clone();
    spec["config"]["parent"] = parent;
    spec
}

#[tokio::test]
async fn a_status_subresource_that_comes_and_goes_is_followed() {
    const THING: ResourceKind = (THINGS, "Thing71");
    let hosted = Hosted::start("subresource").await;
    hosted.install_thing(71).await;
    hosted.apply("things", &things(&hosted, 71)).await;
    serves(&hosted, "things").await;
    let namespace = &hosted.namespace;
    let with = |value: &str| {
        object(
            THING.0,
            THING.1,
            "a",
            &json!({"spec": desire_entry("a", value)}),
        )
    };
    namespace.apply(&with("0")).await.unwrap();
    namespace
        .wait_for_ready(THING, "a", "True", "Reconciled", DEADLINE)
        .await;
    let name = "thing71s.many.tests.handler-host.dev";
    let crd = crds(&hosted).get(name).await.unwrap();
    for (round, subresources) in [("1", Value::Null), ("2", json!({"status": {}}))] {
        let mut versions = crd.data["spec"]["versions"].clone();
        versions[0]["subresources"] = subresources;
        let patch = json!({"spec": {"versions": versions}});
        crds(&hosted)
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
        // The API server serves the change after some time, and until then the status is written as before.
        let mut is_followed = false;
        for attempt in 0..10 {
            let message = format!("in round {round}, attempt {attempt}");
            let failing = json!({"do": "permanent", "message": message});
            let failing = object(THING.0, THING.1, "a", &json!({"spec": failing}));
            namespace.apply(&failing).await.unwrap();
            let is_told = |found: &Value| {
                condition(found, "Ready").is_some_and(|it| it["message"] == message)
            };
            let found = namespace
                .wait_for(THING, "a", &message, 2 * DEADLINE, is_told)
                .await;
            // Only with the subresource the status names the generation.
            let generation = condition(&found, "Ready").and_then(|it| it.get("observedGeneration"));
            is_followed = generation.is_some() == (round == "2");
            if is_followed {
                break;
            }
        }
        assert!(is_followed, "{}", hosted.operator.log());
    }
}

#[tokio::test]
async fn the_kind_of_the_parents_may_go_and_come_back() {
    const THING: ResourceKind = (THINGS, "Thing72");
    let hosted = Hosted::start("gone-kind").await;
    hosted.install_thing(72).await;
    hosted.apply("things", &things(&hosted, 72)).await;
    serves(&hosted, "things").await;
    let namespace = &hosted.namespace;
    let made = |name: &str| {
        object(
            THING.0,
            THING.1,
            name,
            &json!({"spec": desire_entry(name, "a")}),
        )
    };
    namespace.apply(&made("a")).await.unwrap();
    entry(&hosted, "a", "a").await;
    let name = "thing72s.many.tests.handler-host.dev";
    crds(&hosted)
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    let message = hosted
        .told("things", "Ready", "False", "KindNotServed")
        .await;
    assert!(message.contains("Thing72"), "{message}");
    eventually("the kind is gone", DEADLINE, async || {
        match crds(&hosted).get_opt(name).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    hosted.install_thing(72).await;
    serves(&hosted, "things").await;
    namespace.apply(&made("b")).await.unwrap();
    entry(&hosted, "b", "a").await;
}

/// Makes a Puppet and waits until it has the finalizer of the Handler.
async fn held(hosted: &Hosted, name: &str) {
    let namespace = &hosted.namespace;
    namespace
        .apply(&puppet(name, desire_entry(name, "a")))
        .await
        .unwrap();
    entry(hosted, name, "a").await;
    let found = namespace.get(PUPPET, name).await.unwrap();
    let finalizer = format!("handler-host.dev/{}", hosted.name("puppet"));
    assert_eq!(found["metadata"]["finalizers"], json!([finalizer]));
}

/// Waits until the Handler is gone, and looks whether the Puppet is let go.
async fn is_let_go(hosted: &Hosted, name: &str) {
    let handler = hosted.name("puppet");
    let resource = objects::resource("handler-host.dev/v1alpha1", "Handler");
    let handlers: Api<DynamicObject> = Api::all_with(hosted.namespace.client.clone(), &resource);
    eventually("the Handler is gone", DEADLINE, async || {
        match handlers.get_opt(&handler).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}\n{}", hosted.operator.log())),
        }
    })
    .await;
    let namespace = &hosted.namespace;
    let found = namespace.get(PUPPET, name).await.unwrap();
    assert_eq!(found["metadata"]["finalizers"], Value::Null);
    namespace.delete(PUPPET, name).await.unwrap();
    namespace.wait_until_gone(PUPPET, name, DEADLINE).await;
}

#[tokio::test]
async fn parents_are_let_go_by_a_handler_with_a_missing_kind() {
    let hosted = Hosted::start("go-missing").await;
    let missing = json!({"apiVersion": "not-yet.example/v1", "kind": "Certificate"});
    hosted
        .apply("puppet", &puppets(&hosted, &[missing], true))
        .await;
    hosted
        .told("puppet", "Ready", "False", "KindNotServed")
        .await;
    held(&hosted, "a").await;
    hosted.delete("puppet").await;
    is_let_go(&hosted, "a").await;
}

#[tokio::test]
async fn parents_are_let_go_though_the_handler_was_deleted_while_no_host_ran() {
    let mut hosted = Hosted::start("go-unseen").await;
    hosted.apply("puppet", &puppets(&hosted, &[], true)).await;
    serves(&hosted, "puppet").await;
    held(&hosted, "a").await;
    hosted.operator.terminate().await;
    hosted.delete("puppet").await;
    hosted.restart().await;
    is_let_go(&hosted, "a").await;
}

#[tokio::test]
async fn parents_are_let_go_though_the_module_is_gone() {
    let mut hosted = Hosted::start("go-moduleless").await;
    hosted.apply("puppet", &puppets(&hosted, &[], true)).await;
    serves(&hosted, "puppet").await;
    held(&hosted, "a").await;
    hosted.operator.terminate().await;
    std::fs::remove_file(hosted.path("puppet.wasm")).unwrap();
    std::fs::remove_dir_all(hosted.path("state")).unwrap();
    hosted.restart().await;
    hosted
        .told("puppet", "Ready", "False", "ModuleNotLoaded")
        .await;
    hosted.delete("puppet").await;
    is_let_go(&hosted, "a").await;
}

#[tokio::test]
async fn a_parent_in_a_namespace_that_is_deleted_is_let_go() {
    let hosted = Hosted::start("dying").await;
    hosted.apply("puppet", &puppets(&hosted, &[], true)).await;
    serves(&hosted, "puppet").await;
    let namespace = &hosted.namespace;
    let mut spec = desire_entry("state", "a");
    spec["onDelete"] = json!([config_map("cleanup", "key", "a")]);
    namespace.apply(&puppet("a", spec)).await.unwrap();
    entry(&hosted, "state", "a").await;
    let resource = objects::resource("v1", "Namespace");
    let namespaces: Api<DynamicObject> = Api::all_with(namespace.client.clone(), &resource);
    namespaces
        .delete(&namespace.name, &DeleteParams::default())
        .await
        .unwrap();
    eventually(
        "the namespace is gone",
        2 * DEADLINE,
        async || match namespaces.get_opt(&namespace.name).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}\n{}", hosted.operator.log())),
        },
    )
    .await;
    let noise = hosted.operator.lines_with("being terminated");
    assert!(noise.is_empty(), "{noise:?}");
}

#[tokio::test]
async fn a_namespace_of_five_hundred_parents_is_deleted_in_peace() {
    let hosted = Hosted::start("many-dying").await;
    hosted.apply("puppet", &puppets(&hosted, &[], true)).await;
    serves(&hosted, "puppet").await;
    let namespace = &hosted.namespace;
    let names: Vec<_> = (0..500).map(|index| format!("p{index}")).collect();
    for names in names.chunks(25) {
        let made = names.iter().map(|name| {
            let puppet = puppet(name, desire_entry(name, "a"));
            async move { namespace.apply(&puppet).await.unwrap() }
        });
        futures::future::join_all(made).await;
    }
    eventually("all children are made", 3 * DEADLINE, async || {
        let made = namespace.list(CONFIG_MAP).await.len();
        // One is the root certificate's, if its controller runs.
        if made >= 500 { Ok(()) } else { Err(made) }
    })
    .await;
    let mark = hosted.mark();
    let resource = objects::resource("v1", "Namespace");
    let namespaces: Api<DynamicObject> = Api::all_with(namespace.client.clone(), &resource);
    namespaces
        .delete(&namespace.name, &DeleteParams::default())
        .await
        .unwrap();
    eventually(
        "the namespace is gone",
        4 * DEADLINE,
        async || match namespaces.get_opt(&namespace.name).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    let requests = hosted.requests(&mark).await.writes();
    // For each parent at most: a refused creation in place of a child that went first, a few more while the namespace
    // goes, and the write that removes the finalizer.
    let per_parent = requests.count() as f64 / 500.0;
    assert!(per_parent <= 6.0, "{per_parent} writes for each parent");
    assert!(
        hosted.operator.lines_with("ERROR").is_empty(),
        "{}",
        hosted.operator.log()
    );
}

#[tokio::test]
async fn a_foreground_deletion_makes_the_clean_up_children_once() {
    let hosted = Hosted::start("foreground").await;
    hosted.apply("puppet", &puppets(&hosted, &[], true)).await;
    serves(&hosted, "puppet").await;
    let namespace = &hosted.namespace;
    let mut spec = desire_entry("state", "a");
    spec["onDelete"] = json!([config_map("cleanup", "key", "a")]);
    namespace.apply(&puppet("a", spec)).await.unwrap();
    entry(&hosted, "state", "a").await;
    let mark = hosted.mark();
    let parameters = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    };
    namespace
        .api(PUPPET)
        .delete("a", &parameters)
        .await
        .unwrap();
    entry(&hosted, "cleanup", "a").await;
    namespace
        .wait_until_gone(CONFIG_MAP, "state", DEADLINE)
        .await;
    // What the garbage collector does to the child that was made last, it did to the one before.
    for name in ["one", "two"] {
        namespace
            .apply(&puppet(name, desire_entry(name, "a")))
            .await
            .unwrap();
        entry(&hosted, name, "a").await;
        namespace.delete(PUPPET, name).await.unwrap();
        namespace.wait_until_gone(CONFIG_MAP, name, DEADLINE).await;
    }
    let cleanup = namespace.get(CONFIG_MAP, "cleanup").await.unwrap();
    assert_eq!(cleanup["metadata"]["deletionTimestamp"], Value::Null);
    let created = hosted
        .requests(&mark)
        .await
        .resource("configmaps")
        .named("cleanup")
        .code(201);
    assert_eq!(created.count(), 1, "{created}");

    let no_more = json!({"spec": {"onDelete": []}});
    namespace.merge(PUPPET, "a", &no_more).await.unwrap();
    namespace.wait_until_gone(PUPPET, "a", DEADLINE).await;
    namespace
        .wait_until_gone(CONFIG_MAP, "cleanup", DEADLINE)
        .await;
}
