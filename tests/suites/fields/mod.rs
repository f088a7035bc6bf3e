//! How the host compares the fields of children with what the API server made of them.

use std::path::Path;

use handler_host_tests::guests::puppets::desire;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET, PVC, ResourceKind};
use handler_host_tests::objects::{config_map, manifest};
use handler_host_tests::{ControlPlane, DEADLINE, Mark, PuppetNamespace, TestAccount, eventually};
use serde_json::{Value, json};

const SECRET: ResourceKind = ("v1", "Secret");
const QUOTA: ResourceKind = ("v1", "ResourceQuota");
const DEPLOYMENT: ResourceKind = ("apps/v1", "Deployment");
const SAMPLE: ResourceKind = ("fields.tests.handler-host.dev/v1", "Sample");
/// The kinds of the children in `children.yaml`.
const KINDS: [ResourceKind; 22] = [
    SECRET,
    CONFIG_MAP,
    PVC,
    QUOTA,
    DEPLOYMENT,
    SAMPLE,
    ("v1", "LimitRange"),
    ("v1", "Service"),
    ("v1", "Pod"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "ServiceAccount"),
    ("networking.k8s.io/v1", "Ingress"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("apps/v1", "ControllerRevision"),
];

/// The children in `children.yaml` of these kinds.
fn children(kinds: &[ResourceKind]) -> Vec<Value> {
    let mut all = manifest::parse(include_str!("children.yaml")).unwrap();
    all.retain(|child| {
        kinds.iter().any(|(api_version, kind)| {
            child["apiVersion"] == *api_version && child["kind"] == *kind
        })
    });
    all
}

/// A Puppet `a` with the children in `children.yaml` of these kinds, made.
async fn served(prefix: &str, kinds: &[ResourceKind]) -> PuppetNamespace {
    let control_plane = ControlPlane::shared().await;
    let admin = control_plane.client_as(TestAccount::Admin).await;
    let crd = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/fields/samples.yaml");
    manifest::apply_crds(&admin, Path::new(crd)).await.unwrap();
    let policies = manifest::parse(include_str!("admission.yaml")).unwrap();
    manifest::apply(&admin, &policies).await.unwrap();
    let puppets = PuppetNamespace::serve_kinds(prefix, kinds).await;
    // A new policy takes effect a moment later.
    eventually("an entry is rewritten by admission", DEADLINE, async || {
        let mut probe = config_map("probe", "rewritten", "by the test");
        probe["metadata"]["labels"] = json!({"fields.tests.handler-host.dev/changed": "true"});
        let probe = puppets.namespace.apply(&probe).await.unwrap();
        if probe["data"]["rewritten"] == "by admission" {
            Ok(())
        } else {
            Err(probe.to_string())
        }
    })
    .await;
    puppets.apply("a", &desire(&children(kinds))).await;
    puppets.served("a").await;
    puppets
}

/// The host's writes since a mark, but for those of statuses and Events.
async fn writes(puppets: &PuppetNamespace, mark: &Mark) -> Vec<String> {
    puppets.while_others_are_called().await;
    let writes = puppets.requests(mark).await.writes();
    let of_children = writes.only(|entry| !["puppets", "events"].contains(&&*entry.resource));
    of_children
        .iter()
        .map(|entry| format!("{} {}/{}", entry.verb, entry.resource, entry.name))
        .collect()
}

#[tokio::test]
async fn what_the_api_server_makes_of_children_costs_no_write_later_nor_after_a_restart() {
    let mut puppets = served("fields", &KINDS).await;
    let pod = puppets.namespace.get(("v1", "Pod"), "a").await.unwrap();
    let lengths = ["containers", "volumes", "tolerations"]
        .map(|list| pod["spec"][list].as_array().map_or(0, Vec::len));
    assert_eq!(lengths, [2, 2, 3], "{pod:#}");
    let mark = puppets.mark();
    // Another label on the parent has every child compared again.
    let label = json!({"metadata": {"labels": {"touched": "now"}}});
    puppets.namespace.merge(PUPPET, "a", &label).await.unwrap();
    assert_eq!(writes(&puppets, &mark).await, [""; 0]);

    let mark = puppets.mark();
    puppets.restart_kinds(&KINDS).await;
    puppets.wait_for_calls("a", 1).await;
    assert_eq!(writes(&puppets, &mark).await, [""; 0]);
}

/// Fields of the children, each with a value that somebody gives it. Null removes the field.
fn edits() -> Vec<(ResourceKind, &'static str, Value)> {
    vec![
        (CONFIG_MAP, "/metadata/labels/version", json!("1")),
        (CONFIG_MAP, "/metadata/annotations/size", json!("1Gi")),
        (CONFIG_MAP, "/data/version", json!("1")),
        (CONFIG_MAP, "/data/timeout", json!("1k")),
        (CONFIG_MAP, "/data/share", json!("500m")),
        (CONFIG_MAP, "/data/commit", json!("12e3")),
        (CONFIG_MAP, "/data/size", json!("1Gi")),
        (CONFIG_MAP, "/data/empty", Value::Null),
        (SECRET, "/data/user", json!("bm90IHU=")),
        (SECRET, "/data/token", json!("MQ==")),
        (SECRET, "/data/password", json!("bm90IHM=")),
        (SECRET, "/data/empty", Value::Null),
        (DEPLOYMENT, "/spec/replicas", json!(3)),
        (DEPLOYMENT, "/spec/paused", json!(true)),
        (DEPLOYMENT, "/spec/template/spec/nodeName", json!("x")),
        (
            DEPLOYMENT,
            "/spec/template/spec/containers/0/stdin",
            json!(true),
        ),
        (
            DEPLOYMENT,
            "/spec/template/spec/containers/0/args/0",
            json!("1"),
        ),
        (
            DEPLOYMENT,
            "/spec/template/spec/containers/0/env/0/value",
            json!("x"),
        ),
        (
            DEPLOYMENT,
            "/spec/template/spec/containers/0/env/1/value",
            json!("1"),
        ),
        (
            DEPLOYMENT,
            "/spec/template/spec/containers/0/resources/requests/memory",
            json!("2Gi"),
        ),
        (QUOTA, "/spec/hard/count~1b.example.com", json!("2Mi")),
        (SAMPLE, "/spec/text", json!("1")),
        (SAMPLE, "/spec/either", json!("1Gi")),
        (SAMPLE, "/spec/nullable", json!("x")),
        (SAMPLE, "/spec/open/text", json!("1")),
        (SAMPLE, "/spec/open/none", json!("x")),
        (SAMPLE, "/spec/open/zero", json!(1)),
        (SAMPLE, "/spec/open/map/text", json!("1")),
        (SAMPLE, "/spec/open/list/2/a", json!("1")),
        (SAMPLE, "/spec/maps/one/text", json!("1")),
        (SAMPLE, "/spec/list/0/text", json!("1")),
    ]
}

/// Gives the field at a path another value, or removes it.
fn edit(object: &mut Value, path: &str, value: &Value) {
    let (parent, name) = path.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/");
    let parent = object.pointer_mut(parent).unwrap();
    if let Some(elements) = parent.as_array_mut() {
        elements[name.parse::<usize>().unwrap()] = value.clone();
    } else if value.is_null() {
        parent.as_object_mut().unwrap().remove(&name);
    } else {
        parent[&name] = value.clone();
    }
}

#[tokio::test]
async fn a_field_that_somebody_changes_is_restored_also_after_a_restart() {
    let kinds = [CONFIG_MAP, SECRET, DEPLOYMENT, QUOTA, SAMPLE];
    let mut puppets = served("edited", &kinds).await;
    puppets.operator.terminate().await;
    let mut wanted = Vec::new();
    for (kind, path, value) in edits() {
        let mut object = puppets.namespace.get(kind, "a").await.unwrap();
        wanted.push((kind, path, object.pointer(path).cloned()));
        edit(&mut object, path, &value);
        let replaced = puppets.namespace.replace(kind, &object).await.unwrap();
        assert_ne!(
            replaced.pointer(path),
            wanted.last().unwrap().2.as_ref(),
            "{path}"
        );
    }
    puppets.restart_kinds(&kinds).await;
    for (kind, path, value) in wanted {
        let what = format!("its {path} is {value:?}");
        let is_restored = |child: &Value| child.pointer(path) == value.as_ref();
        puppets
            .namespace
            .wait_for(kind, "a", &what, DEADLINE, is_restored)
            .await;
    }
}

#[tokio::test]
async fn what_the_handler_leaves_open_is_left_to_others() {
    let puppets = served("open", &[DEPLOYMENT, CONFIG_MAP, SAMPLE]).await;
    let mark = puppets.mark();
    for (kind, path, value) in [
        (DEPLOYMENT, "/spec/revisionHistoryLimit", json!(3)),
        (DEPLOYMENT, "/spec/template/spec/schedulerName", json!("x")),
        (
            DEPLOYMENT,
            "/spec/template/spec/imagePullSecrets",
            json!([{"name": "x"}]),
        ),
        (DEPLOYMENT, "/spec/strategy", json!({"type": "Recreate"})),
        (SAMPLE, "/spec/default", json!("x")),
        (SAMPLE, "/spec/open/empty/more", json!("x")),
        (SAMPLE, "/spec/maps/none/text", json!("x")),
        (SAMPLE, "/spec/set", json!(["x", "b", "1.0"])),
        (
            SAMPLE,
            "/spec/list",
            json!([{"name": "b"}, {"name": "c"}, {"name": "a", "text": "1.0"}]),
        ),
    ] {
        let mut object = puppets.namespace.get(kind, "a").await.unwrap();
        edit(&mut object, path, &value);
        puppets.namespace.replace(kind, &object).await.unwrap();
    }
    assert_eq!(writes(&puppets, &mark).await, [""; 0]);
}

#[tokio::test]
async fn a_key_that_the_handler_drops_from_string_data_is_removed() {
    let puppets = served("dropped", &[SECRET, CONFIG_MAP]).await;
    let mut children = children(&[SECRET]);
    children[0]["stringData"] = json!({"password": "s3cret"});
    puppets.apply("a", &desire(&children)).await;
    let is_dropped = |secret: &Value| {
        secret["data"] == json!({"user": "YWRtaW4=", "token": "MQ==", "password": "czNjcmV0"})
    };
    puppets
        .namespace
        .wait_for(SECRET, "a", "its keys are dropped", DEADLINE, is_dropped)
        .await;
}
