//! Whose an object is: what the host takes for a child, what it adopts, and what it never touches.

use handler_host_tests::control_plane::shell;
use handler_host_tests::guests::puppets::{desire, desire_entry};
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET, ResourceKind};
use handler_host_tests::objects::{config_map, puppet};
use handler_host_tests::{
    ControlPlane, DEADLINE, Namespace, Operator, PuppetNamespace, TestAccount, paths,
};
use kube::api::{DeleteParams, PropagationPolicy};
use rstest::rstest;
use serde_json::{Value, json};

const HANDLER_LABEL: &str = "handler-host.dev/handler";
const UID_LABEL: &str = "handler-host.dev/parent-uid";

/// The child without what the API server keeps and without an owner, as backups and replicators have it.
fn copy_of(child: &Value, namespace: &str, name: &str) -> Value {
    let metadata = &child["metadata"];
    json!({
        "apiVersion": child["apiVersion"], "kind": child["kind"], "data": child["data"],
        "metadata": {
            "name": name, "namespace": namespace,
            "labels": metadata["labels"], "annotations": metadata["annotations"],
        },
    })
}

/// Waits until a Puppet is handled that is made now. What the host does for earlier changes is done by then.
async fn fence(namespace: &Namespace, name: &str) {
    let fence = puppet(name, desire_entry(name, "a"));
    namespace.apply(&fence).await.unwrap();
    namespace
        .wait_for_ready(PUPPET, name, "True", "Reconciled", DEADLINE)
        .await;
}

#[tokio::test]
async fn copies_of_children_stay_though_the_host_serves_all_namespaces() {
    let crd = paths::workspace().join("tests/guests/puppet/crd.yaml");
    let control_plane = ControlPlane::own(vec![crd]).await;
    let home = Namespace::create(&control_plane, "home").await;
    let away = Namespace::create(&control_plane, "away").await;
    let options = Operator::of(&control_plane, TestAccount::Host);
    let operator = options.module(paths::guest("puppet").unwrap()).start();
    home.apply(&puppet("a", desire_entry("a", "ours")))
        .await
        .unwrap();
    let is_made = |found: &Value| found["data"]["key"] == "ours";
    let child = home
        .wait_for(CONFIG_MAP, "a", "made", DEADLINE, is_made)
        .await;

    let copies = [
        (&away, copy_of(&child, &away.name, "a")),
        (&home, copy_of(&child, &home.name, "beside")),
    ];
    let mut made = Vec::new();
    for (namespace, copy) in &copies {
        made.push(namespace.create_object(copy).await.unwrap());
    }
    fence(&home, "one").await;
    fence(&home, "two").await;
    for ((namespace, _), copy) in copies.iter().zip(&made) {
        let name = copy["metadata"]["name"].as_str().unwrap();
        let found = namespace.get(CONFIG_MAP, name).await;
        assert_eq!(found.as_ref(), Some(copy), "{}", operator.log());
    }
}

#[tokio::test]
async fn an_object_that_another_object_controls_is_nobodys_child_whatever_its_labels() {
    let puppets = PuppetNamespace::serve("controlled").await;
    puppets.apply("a", &desire_entry("a", "ours")).await;
    puppets.served("a").await;
    let child = puppets.config_map("a").await.unwrap();
    let namespace = &puppets.namespace;
    let owner = config_map("owner", "key", "a");
    let owner = namespace.create_object(&owner).await.unwrap();
    let mut copy = copy_of(&child, &namespace.name, "copied-down");
    copy["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
        "controller": true,
    }]);
    let copy = namespace.create_object(&copy).await.unwrap();
    fence(namespace, "one").await;
    fence(namespace, "two").await;
    assert_eq!(puppets.config_map("copied-down").await, Some(copy));

    puppets.apply("b", &desire_entry("copied-down", "b")).await;
    assert_eq!(
        puppets.outcome("b", "False", "Conflict").await,
        "ConfigMap copied-down exists, and ConfigMap owner controls it; give this object another name"
    );
}

#[rstest]
#[case::handler_label_removed(json!({"labels": {HANDLER_LABEL: null}}))]
#[case::handler_label_edited(json!({"labels": {HANDLER_LABEL: "another"}}))]
#[case::uid_label_removed(json!({"labels": {UID_LABEL: null}}))]
#[case::uid_label_edited(json!({"labels": {UID_LABEL: "1"}}))]
#[case::all_labels_removed(json!({"labels": null}))]
#[case::owner_removed(json!({"ownerReferences": null}))]
#[tokio::test]
async fn what_marks_a_child_is_restored(#[case] edit: Value) {
    let puppets = PuppetNamespace::serve("marked").await;
    puppets.apply("a", &desire_entry("a", "ours")).await;
    puppets.served("a").await;
    let child = puppets.config_map("a").await.unwrap();
    let edited = json!({"metadata": edit});
    let namespace = &puppets.namespace;
    let edited = namespace.merge(CONFIG_MAP, "a", &edited).await.unwrap();
    let is_restored = |found: &Value| {
        let (found, child) = (&found["metadata"], &child["metadata"]);
        ["labels", "ownerReferences", "uid"]
            .iter()
            .all(|field| found[field] == child[field])
    };
    assert!(!is_restored(&edited));
    namespace
        .wait_for(CONFIG_MAP, "a", "restored", DEADLINE, is_restored)
        .await;
}

#[tokio::test]
async fn a_child_that_its_parent_left_is_adopted_when_the_parent_is_made_anew() {
    let puppets = PuppetNamespace::serve("remade").await;
    puppets.apply("a", &desire_entry("a", "ours")).await;
    puppets.served("a").await;
    let child = puppets.config_map("a").await.unwrap();
    let parameters = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    let api = puppets.namespace.api(PUPPET);
    api.delete("a", &parameters).await.unwrap();
    puppets
        .namespace
        .wait_until_gone(PUPPET, "a", DEADLINE)
        .await;
    let left = puppets.config_map("a").await.unwrap();
    assert_eq!(left["metadata"]["ownerReferences"], Value::Null);

    let parent = puppets.apply("a", &desire_entry("a", "ours")).await;
    puppets.served("a").await;
    let adopted = puppets.config_map("a").await.unwrap();
    assert_eq!(adopted["metadata"]["uid"], child["metadata"]["uid"]);
    let owner = &adopted["metadata"]["ownerReferences"][0]["uid"];
    assert_eq!(*owner, parent["metadata"]["uid"]);
    let events = puppets.wait_for_events("a", 2).await;
    assert!(
        events.contains(&"Normal Reconciled: Adopted ConfigMap a".to_owned()),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_child_that_was_restored_from_a_backup_is_adopted() {
    let puppets = PuppetNamespace::serve("restored").await;
    let mut restored = config_map("a", "key", "from the backup");
    restored["metadata"]["labels"] = json!({HANDLER_LABEL: "puppet", UID_LABEL: "gone"});
    let restored = puppets.namespace.create_object(&restored).await.unwrap();
    puppets.apply("a", &desire_entry("a", "ours")).await;
    let adopted = puppets.entry("a", "ours").await;
    assert_eq!(adopted["metadata"]["uid"], restored["metadata"]["uid"]);
    puppets.served("a").await;
}

#[tokio::test]
async fn the_command_that_a_conflict_names_hands_the_object_over_with_its_data() {
    let puppets = PuppetNamespace::serve("handed-over").await;
    let mut foreign = config_map("a", "key", "theirs");
    foreign["data"]["more"] = json!("theirs");
    let foreign = puppets.namespace.create_object(&foreign).await.unwrap();
    puppets.apply("a", &desire_entry("a", "ours")).await;
    let message = puppets.outcome("a", "False", "Conflict").await;
    let (_, command) = message.split_once("keeps its data: ").unwrap();
    let output = shell(command, TestAccount::Admin).await;
    assert_eq!(output.code, Some(0), "{command}\n{}", output.stderr);
    let found = puppets.entry("a", "ours").await;
    puppets.served("a").await;
    assert_eq!(found["metadata"]["uid"], foreign["metadata"]["uid"]);
    assert_eq!(found["data"]["more"], "theirs");
    let events = puppets.wait_for_events("a", 2).await;
    assert_eq!(events[1], "Normal Reconciled: Adopted ConfigMap a");
}

#[tokio::test]
async fn a_kind_that_is_granted_in_two_versions_is_one_kind() {
    const SCALER: ResourceKind = ("autoscaling/v2", "HorizontalPodAutoscaler");
    let kinds = [
        ("autoscaling/v1", "HorizontalPodAutoscaler"),
        SCALER,
        CONFIG_MAP,
    ];
    let puppets = PuppetNamespace::serve_kinds("versions", &kinds).await;
    let scaler = |version: &str, most: u32| {
        json!({
            "apiVersion": version, "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
            "spec": {
                "maxReplicas": most, "minReplicas": 1,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"},
            },
        })
    };
    let mark = puppets.mark();
    puppets
        .apply("a", &desire(&[scaler("autoscaling/v2", 3)]))
        .await;
    puppets.served("a").await;
    puppets.while_others_are_called().await;
    let made = puppets.namespace.get(SCALER, "a").await.unwrap();
    // From one version to the other, as handlers move.
    puppets
        .apply("a", &desire(&[scaler("autoscaling/v1", 4)]))
        .await;
    puppets.served("a").await;
    puppets.while_others_are_called().await;
    let moved = puppets.namespace.get(SCALER, "a").await.unwrap();
    assert_eq!(moved["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(moved["spec"]["maxReplicas"], 4);
    let writes = puppets.requests(&mark).await.writes();
    let writes = writes.resource("horizontalpodautoscalers");
    assert_eq!(writes.count(), 2, "{writes}");

    let twice = [scaler("autoscaling/v1", 4), scaler("autoscaling/v2", 4)];
    puppets.apply("a", &desire(&twice)).await;
    puppets.outcome("a", "False", "Denied").await;
}
