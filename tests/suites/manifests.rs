//! The manifests of host/deploy, applied by kubectl to an API server of their own. It refuses fields that it does not
//! know, and Pods that do not meet the restricted Pod Security Standard.

use std::fs;
use std::path::{Path, PathBuf};

use handler_host_tests::deployment::ExampleManifests;
use handler_host_tests::objects::{manifest, resource};
use handler_host_tests::{ControlPlane, TestAccount, kubectl, paths};
use insta::assert_snapshot;
use kube::api::{Api, DynamicObject, PostParams};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const NAMESPACE: &str = "handler-host";

/// A control plane to which the base was applied, and what kubectl printed.
async fn base() -> &'static (ControlPlane, String) {
    static BASE: OnceCell<(ControlPlane, String)> = OnceCell::const_new();
    let deploy = async || {
        let control_plane = ControlPlane::own(Vec::new()).await;
        let told = apply(&control_plane, &deploy_directory().join("base"), &[]).await;
        (control_plane, told)
    };
    BASE.get_or_init(deploy).await
}

async fn with_base() -> &'static ControlPlane {
    &base().await.0
}

fn deploy_directory() -> PathBuf {
    paths::workspace().join("host/deploy")
}

/// Runs `kubectl apply -k`, which must succeed without a warning. Returns what it printed.
async fn apply(control_plane: &ControlPlane, directory: &Path, options: &[&str]) -> String {
    let directory = directory.to_str().unwrap();
    let mut arguments = vec!["apply", "--validate=strict", "-k", directory];
    arguments.extend(options);
    let told = kubectl(control_plane, &arguments, "").await;
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
    told.stdout
}

/// The objects that kustomize renders from a directory.
async fn rendered(control_plane: &ControlPlane, directory: &Path) -> Vec<Value> {
    let arguments = ["kustomize", directory.to_str().unwrap()];
    let told = kubectl(control_plane, &arguments, "").await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    manifest::parse(&told.stdout).unwrap()
}

/// The only object of a kind in the base.
async fn in_base(kind: &str) -> Value {
    let objects = rendered(with_base().await, &deploy_directory().join("base")).await;
    let mut found = objects.into_iter().filter(|object| object["kind"] == kind);
    let object = found.next().unwrap();
    assert_eq!(found.next(), None);
    object
}

/// A Pod as the Deployment makes it.
async fn pod() -> Value {
    let deployment = in_base("Deployment").await;
    let template = &deployment["spec"]["template"];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried", "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    })
}

/// Creates a Pod in a dry run.
async fn try_pod(pod: Value) -> kube::Result<DynamicObject> {
    let client = with_base().await.client_as(TestAccount::Admin).await;
    let pods: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource("v1", "Pod"));
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    pods.create(&dry_run, &serde_json::from_value(pod).unwrap())
        .await
}

#[tokio::test]
async fn kubectl_applies_the_base_without_a_warning() {
    assert_snapshot!(base().await.1, @"
    namespace/handler-host created
    customresourcedefinition.apiextensions.k8s.io/handlers.handler-host.dev created
    serviceaccount/handler-host created
    role.rbac.authorization.k8s.io/handler-host created
    clusterrole.rbac.authorization.k8s.io/handler-host created
    rolebinding.rbac.authorization.k8s.io/handler-host created
    clusterrolebinding.rbac.authorization.k8s.io/handler-host created
    service/handler-host created
    deployment.apps/handler-host created
    poddisruptionbudget.policy/handler-host created
    networkpolicy.networking.k8s.io/handler-host created
    ");
}

#[tokio::test]
async fn kubectl_applies_the_example_without_a_warning_and_its_config_map_holds_the_module() {
    let control_plane = with_base().await;
    let checkout = ExampleManifests::checkout();
    let directory = checkout.overlay();
    let told = apply(control_plane, &directory, &["--server-side"]).await;
    assert_snapshot!(told, @"
    customresourcedefinition.apiextensions.k8s.io/ephemeralvolumeclaims.kopf.dev serverside-applied
    serviceaccount/evc serverside-applied
    role.rbac.authorization.k8s.io/handler-host:impersonate:evc serverside-applied
    clusterrole.rbac.authorization.k8s.io/handler-host:evc serverside-applied
    rolebinding.rbac.authorization.k8s.io/handler-host:impersonate:evc serverside-applied
    clusterrolebinding.rbac.authorization.k8s.io/handler-host:evc serverside-applied
    configmap/evc serverside-applied
    handler.handler-host.dev/evc serverside-applied
    ");

    let arguments = ["get", "configmap", "evc", "-n", NAMESPACE, "-o", "json"];
    let config_map = kubectl(control_plane, &arguments, "").await.stdout;
    let config_map = serde_json::from_str(&config_map).unwrap();
    let module = fs::read(paths::guest("evc").unwrap()).unwrap();
    let config_map: k8s_openapi::api::core::v1::ConfigMap =
        serde_json::from_value(config_map).unwrap();
    assert!(config_map.binary_data.unwrap()["evc.wasm"].0 == module);
}

#[tokio::test]
async fn kubectl_applies_what_prometheus_operator_reads_without_a_warning() {
    let control_plane = with_base().await;
    let client = control_plane.client_as(TestAccount::Admin).await;
    for kind in ["servicemonitors", "prometheusrules"] {
        let path = format!("tests/src/deployment/crds/{kind}.yaml");
        manifest::apply_crds(&client, &paths::workspace().join(path))
            .await
            .unwrap();
    }
    let directory = deploy_directory().join("overlays/prometheus");
    let told = apply(control_plane, &directory, &[]).await;
    assert_snapshot!(told, @"
    prometheusrule.monitoring.coreos.com/handler-host created
    servicemonitor.monitoring.coreos.com/handler-host created
    ");
}

#[tokio::test]
async fn the_pods_are_restricted() {
    let made = try_pod(pod().await).await.unwrap();
    assert_eq!(made.data["spec"]["serviceAccountName"], "handler-host");
}

#[rstest]
#[case::user("/spec/securityContext", "runAsNonRoot")]
#[case::system_calls("/spec/securityContext", "seccompProfile")]
#[case::escalation("/spec/containers/0/securityContext", "allowPrivilegeEscalation")]
#[case::capabilities("/spec/containers/0/securityContext", "capabilities")]
#[tokio::test]
async fn a_pod_that_is_not_restricted_is_refused(#[case] at: &str, #[case] field: &str) {
    let mut pod = pod().await;
    let context = pod.pointer_mut(at).unwrap().as_object_mut().unwrap();
    context.remove(field).unwrap();
    let refused = try_pod(pod).await.unwrap_err().to_string();
    assert!(
        refused.contains(r#"violates PodSecurity "restricted:latest""#) && refused.contains(field),
        "{refused}"
    );
}

#[tokio::test]
async fn the_deployment_runs_the_image_of_this_version() {
    let deployment = in_base("Deployment").await;
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(
        *image,
        format!("handler-host:{}", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn service_budget_and_policy_are_about_the_pods_of_the_deployment() {
    let pod = pod().await;
    let labels = &pod["metadata"]["labels"];
    let ports = &pod["spec"]["containers"][0]["ports"];
    let service = in_base("Service").await;
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], ports[0]["name"]);
    let budget = in_base("PodDisruptionBudget").await;
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    let policy = in_base("NetworkPolicy").await;
    assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], labels);
    let ingress = &policy["spec"]["ingress"][0]["ports"][0]["port"];
    assert_eq!(*ingress, ports[0]["name"]);
}

#[test]
fn prometheus_operator_gets_the_same_alerts_as_prometheus() {
    let read = |path: &str| {
        let text = fs::read_to_string(deploy_directory().join(path)).unwrap();
        manifest::parse(&text).unwrap().remove(0)
    };
    let rule = read("overlays/prometheus/alerts.yaml");
    assert_eq!(rule["spec"], read("alerts.yaml"));
}
