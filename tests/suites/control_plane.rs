//! The control plane of the suites, on which all other suites rely.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use handler_host_tests::objects::config_map;
use handler_host_tests::objects::kinds::{CLAIM, CONFIG_MAP};
use handler_host_tests::programs::child;
use handler_host_tests::servers::ReadyControlPlane;
use handler_host_tests::{ControlPlane, Namespace, TestAccount, evc, eventually, objects, paths};
use kube::Error;
use kube::api::{Api, DynamicObject, ListParams};
use rstest::rstest;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_is_ready_in_under_ten_seconds() {
    let control_plane = ControlPlane::shared().await;
    assert!(
        control_plane.ready().seconds < 10.0,
        "{:?}",
        control_plane.ready()
    );
}

#[rstest]
#[case::nobody_reads_nothing(TestAccount::Nobody, ("v1", "ConfigMap"), 403)]
#[case::nobody_sees_no_claims(TestAccount::Nobody, ("kopf.dev/v1", "EphemeralVolumeClaim"), 403)]
#[case::the_host_sees_claims(TestAccount::Host, ("kopf.dev/v1", "EphemeralVolumeClaim"), 200)]
#[case::the_host_sees_puppets(TestAccount::Host, ("tests.handler-host.dev/v1", "Puppet"), 200)]
#[case::the_host_sees_no_secrets(TestAccount::Host, ("v1", "Secret"), 403)]
#[case::the_admin_sees_secrets(TestAccount::Admin, ("v1", "Secret"), 200)]
#[tokio::test]
async fn rbac_decides_who_may_list(
    #[case] who: TestAccount,
    #[case] kind: (&str, &str),
    #[case] code: u16,
) {
    let control_plane = ControlPlane::shared().await;
    let client = control_plane.client_as(who).await;
    let objects: Api<DynamicObject> = Api::all_with(client, &objects::resource(kind.0, kind.1));
    let answered = match objects.list(&ListParams::default()).await {
        Ok(_) => 200,
        Err(Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(answered, code);
}

#[tokio::test]
async fn the_audit_log_counts_each_request_once() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "audit").await;
    let mark = control_plane.audit().mark();

    namespace
        .create_object(&config_map("one", "key", "a"))
        .await
        .unwrap();
    namespace
        .merge(CONFIG_MAP, "one", &json!({"data": {"key": "b"}}))
        .await
        .unwrap();
    namespace.get(CONFIG_MAP, "one").await.unwrap();
    namespace.get(CONFIG_MAP, "two").await;

    let entries = control_plane
        .audit_since(&mark)
        .await
        .by("admin")
        .in_namespace(&namespace.name);
    let counts = [
        entries.count(),
        entries.writes().count(),
        entries.verb("create").code(201).count(),
        entries
            .verb("patch")
            .named("one")
            .resource("configmaps")
            .subresource("")
            .count(),
        entries.verb("get").code(404).named("two").count(),
    ];
    assert_eq!(counts, [4, 2, 1, 1, 1], "{entries}");
}

#[tokio::test]
async fn children_of_a_deleted_claim_are_collected() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "collect").await;
    let claim = namespace.create_object(&evc("claim", "1Gi")).await.unwrap();
    let mut child = config_map("child", "key", "value");
    child["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "kopf.dev/v1",
        "kind": "EphemeralVolumeClaim",
        "name": "claim",
        "uid": claim["metadata"]["uid"],
    }]);
    namespace.create_object(&child).await.unwrap();

    namespace.delete(CLAIM, "claim").await.unwrap();
    namespace
        .wait_until_gone(CONFIG_MAP, "child", DEADLINE)
        .await;
}

#[tokio::test]
async fn a_dropped_namespace_goes_away() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "dropped").await;
    let (name, client) = (namespace.name.clone(), namespace.client.clone());
    drop(namespace);

    let namespaces: Api<DynamicObject> =
        Api::all_with(client, &objects::resource("v1", "Namespace"));
    eventually(
        "the namespace is gone",
        DEADLINE,
        async || match namespaces.get_opt(&name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("it is there".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    )
    .await;
}

#[tokio::test]
async fn the_servers_end_with_a_test_runner_that_is_killed() {
    let (mut runner, ready) = a_runner_of_its_own().await;
    runner.kill().await.unwrap();
    wait_until_stopped(&ready).await;
    eventually("its directory is removed", DEADLINE, async || {
        (!ready.directory.exists()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_servers_end_with_a_control_plane_that_is_killed() {
    let (_runner, ready) = a_runner_of_its_own().await;
    child::signal(ready.pid, Signal::KILL);
    wait_until_stopped(&ready).await;
    fs::remove_dir_all(&ready.directory).unwrap();
}

#[tokio::test]
async fn missing_servers_are_an_error_that_says_how_to_get_them() {
    let empty = tempfile::tempdir().unwrap();
    let error = control_plane_with_assets(empty.path()).await;
    assert!(
        error.contains(&format!("{}/etcd is missing", empty.path().display())),
        "{error}"
    );
    assert!(error.contains("run `just control-plane`"), "{error}");
}

#[tokio::test]
async fn a_server_that_ends_at_start_is_named_with_the_end_of_its_log() {
    let broken = tempfile::tempdir().unwrap();
    for name in [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
    ] {
        let program = broken.path().join(name);
        fs::write(&program, "#!/bin/sh\necho no disk left\nexit 3\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let error = control_plane_with_assets(broken.path()).await;
    assert!(
        error.contains("etcd ended at start with exit status: 3"),
        "{error}"
    );
    assert!(error.contains("no disk left"), "{error}");
}

const RUNNER: &str = "HANDLER_HOST_TESTS_RUNNER";

/// This is no test. It is the test runner that the tests above start and kill.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn runner_to_be_killed() {
    if std::env::var_os(RUNNER).is_some() {
        let control_plane = ControlPlane::shared().await;
        println!(
            "\n{}",
            serde_json::to_string(control_plane.ready()).unwrap()
        );
        std::future::pending::<()>().await;
    }
}

/// Starts this test binary once more, with a control plane of its own.
async fn a_runner_of_its_own() -> (Child, ReadyControlPlane) {
    let mut runner = child::command(&std::env::current_exe().unwrap())
        .args([
            "--exact",
            "control_plane::runner_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(RUNNER, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(runner.stdout.take().unwrap()).lines();
    loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("the runner ended before it was ready");
        if let Ok(ready) = serde_json::from_str(&line) {
            return (runner, ready);
        }
    }
}

async fn wait_until_stopped(ready: &ReadyControlPlane) {
    assert_eq!(ready.servers.len(), 3);
    eventually("all servers are gone", DEADLINE, async || {
        let left: Vec<&String> = ready
            .servers
            .iter()
            .filter(|(_, pid)| is_running(**pid))
            .map(|(name, _)| name)
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?} still run"))
        }
    })
    .await;
}

/// Whether a process runs. A zombie does not: the parent of the process may have been killed, and then no process waits
/// for it.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn control_plane_with_assets(directory: &Path) -> String {
    let mut child = child::command(&paths::binary("control-plane").unwrap())
        .env("KUBEBUILDER_ASSETS", directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its standard input stays open until it ends by itself, because a closed input would end it without an error.
    let _input = child.stdin.take();
    let output = child.wait_with_output().await.unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
