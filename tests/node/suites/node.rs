//! The node itself, on which the other suites rely.

use std::time::Duration;

use handler_host_tests::objects::kinds::ResourceKind;
use handler_host_tests::objects::{condition, config_map, object};
use handler_host_tests::programs::child;
use handler_host_tests::{Namespace, Node, eventually};
use http::Request;
use kube::Client;
use rustix::process::Signal;
use serde_json::{Value, json};

const POD: ResourceKind = ("v1", "Pod");
const IMAGE: &str = "handler-host.test/probe:1";
const MEBIBYTE: u64 = 1 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_pod_under_the_restricted_standard_runs_and_is_held_to_it() {
    let node = Node::shared().await;
    let namespace = Namespace::create(node.control_plane(), "restricted").await;
    let pod = start_probe(node, &namespace).await;
    let ask = async |path: &str| ask(&namespace, path).await.unwrap();

    // The kubelet serves the logs of the Pod.
    let logs = node
        .kubectl(["logs", "probe", "--namespace", &namespace.name])
        .await;
    assert_eq!(
        (logs.stdout.as_str(), logs.stderr.as_str()),
        ("probe: uid 65532 gid 65532\n", "")
    );

    // The Pod reaches the API server at the address of its service, and the API server knows the Pod by its token.
    let api = ask("/api").await;
    assert!(api.starts_with("201 Created"), "{api}");
    let account = format!("system:serviceaccount:{}:default", namespace.name);
    assert!(api.contains(&account), "{api}");

    // The Pod has its volumes, a read-only root file system, a filter of system calls, and no capabilities.
    assert_eq!(ask("/file?path=/config/greeting").await, "hello");
    assert_eq!(ask("/write?path=/scratch").await, "written\n");
    assert_eq!(
        ask("/write?path=/").await,
        "open /probe: read-only file system\n"
    );
    let status = ask("/file?path=/proc/self/status").await;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    assert_eq!(field("Seccomp:"), "2", "{status}");
    assert_eq!(field("NoNewPrivs:"), "1", "{status}");
    assert_eq!(field("CapBnd:"), "0000000000000000", "{status}");

    // The kernel counts the memory of the Pod.
    let memory = node.container(&pod, "probe").memory();
    assert_eq!(memory.limit, 32 * MEBIBYTE, "{memory:?}");
    assert!(
        memory.resident > 0 && memory.resident < memory.limit,
        "{memory:?}"
    );
    assert!(
        memory.resident <= memory.usage && memory.usage <= memory.peak,
        "{memory:?}"
    );
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_pod_without_those_settings_is_refused() {
    let node = Node::shared().await;
    let namespace = Namespace::create(node.control_plane(), "refused").await;
    restrict(node, &namespace).await;
    let pod = object(
        "v1",
        "Pod",
        "bare",
        &json!({"spec": {"containers": [{"name": "bare", "image": IMAGE}]}}),
    );
    let refused = namespace.create_object(&pod).await.unwrap_err().to_string();
    assert!(
        refused.contains("violates PodSecurity \"restricted:latest\""),
        "{refused}"
    );
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_container_that_eats_more_than_its_limit_is_killed_and_started_again() {
    let node = Node::shared().await;
    let namespace = Namespace::create(node.control_plane(), "eater").await;
    let before = node.container(&start_probe(node, &namespace).await, "probe");

    assert_eq!(
        ask(&namespace, "/eat?mebibytes=64").await.unwrap(),
        "eating\n"
    );

    let after = namespace
        .wait_for(POD, "probe", "started again", DEADLINE, |pod| {
            is_ready(pod) && pod["status"]["containerStatuses"][0]["restartCount"] == 1
        })
        .await;
    let ended = &after["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(ended["reason"], "OOMKilled", "{ended:#}");
    let after = node.container(&after, "probe");
    assert_ne!(before.id, after.id);
    assert_eq!((before.restarts, after.restarts), (0, 1));
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_containers_process_can_be_paused_and_resumed() {
    let node = Node::shared().await;
    let namespace = Namespace::create(node.control_plane(), "paused").await;
    let pod = start_probe(node, &namespace).await;
    let pid = node.container(&pod, "probe").pid();

    child::signal(pid, Signal::STOP);
    // The paused process does not answer the kubelet's probe.
    namespace
        .wait_for(POD, "probe", "not ready", DEADLINE, |pod| !is_ready(pod))
        .await;
    child::signal(pid, Signal::CONT);
    namespace
        .wait_for(POD, "probe", "ready again", DEADLINE, is_ready)
        .await;
    assert_eq!(ask(&namespace, "/healthz").await.unwrap(), "ok\n");
}

#[tokio::test]
#[ignore = "needs a node: `just e2e`"]
async fn a_deleted_pod_gets_sigterm_first() {
    let node = Node::shared().await;
    let namespace = Namespace::create(node.control_plane(), "ended").await;
    let pod = start_probe(node, &namespace).await;
    let container = node.container(&pod, "probe");
    assert!(container.is_running());

    let arguments = ["logs", "probe", "--follow", "--namespace", &namespace.name];
    let (logs, ()) = tokio::join!(node.kubectl(arguments), async {
        namespace.delete(POD, "probe").await.unwrap();
    });
    assert!(logs.stdout.ends_with("probe: SIGTERM\n"), "{logs:?}");
    eventually("its Pod and cgroup are gone", DEADLINE, async || {
        (namespace.get(POD, "probe").await.is_none() && !container.is_running()).then_some(())
    })
    .await;
}

/// Starts the Pod `probe` in a namespace that enforces the restricted Pod Security Standard, and waits until it is ready.
async fn start_probe(node: &Node, namespace: &Namespace) -> Value {
    node.load_image(&node.own_image("probe"), IMAGE).await;
    restrict(node, namespace).await;
    namespace
        .create_object(&config_map("greetings", "greeting", "hello"))
        .await
        .unwrap();
    // The service account `default` is made a moment after the namespace.
    eventually("the Pod is admitted", DEADLINE, async || {
        namespace.create_object(&probe()).await
    })
    .await;
    namespace
        .wait_for(POD, "probe", "ready", DEADLINE, is_ready)
        .await
}

async fn restrict(node: &Node, namespace: &Namespace) {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    let labelled = node
        .kubectl(["label", "namespace", &namespace.name, label])
        .await;
    assert_eq!(labelled.code, Some(0), "{labelled:?}");
}

fn probe() -> Value {
    object(
        "v1",
        "Pod",
        "probe",
        &json!({"spec": {
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": 10,
            "containers": [{
                "name": "probe",
                "image": IMAGE,
                "imagePullPolicy": "Never",
                "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "32Mi"}},
                "readinessProbe": {
                    "httpGet": {"path": "/healthz", "port": 8080},
                    "periodSeconds": 1,
                    "failureThreshold": 1,
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "config", "mountPath": "/config"},
                    {"name": "scratch", "mountPath": "/scratch"},
                ],
            }],
            "volumes": [
                {"name": "config", "configMap": {"name": "greetings"}},
                {"name": "scratch", "emptyDir": {}},
            ],
        }}),
    )
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// The answer of the probe to a request through the API server.
async fn ask(namespace: &Namespace, path: &str) -> Result<String, kube::Error> {
    let client: &Client = &namespace.client;
    let uri = format!(
        "/api/v1/namespaces/{}/pods/probe:8080/proxy{path}",
        namespace.name
    );
    client
        .request_text(Request::get(uri).body(Vec::new()).unwrap())
        .await
}
