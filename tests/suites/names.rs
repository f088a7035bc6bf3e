//! Names that do not hang on files, long names, odd kinds, and proxies.

use handler_host_tests::guests::puppets::desire_entry;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PVC, ResourceKind};
use handler_host_tests::objects::{evc, object};
use handler_host_tests::programs::handler_host;
use handler_host_tests::{
    ControlPlane, DEADLINE, Hosted, Namespace, Operator, PuppetNamespace, TestAccount,
    VolumeClaims, eventually, handler_host as run, paths,
};
use rstest::rstest;
use serde_json::{Value, json};

#[tokio::test]
async fn a_handler_is_named_by_its_module_whatever_the_file_is_called() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "renamed").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("Release 2.wasm");
    std::fs::copy(paths::guest("evc").unwrap(), &file).unwrap();
    let options = Operator::of(control_plane, TestAccount::Host);
    let _operator = options.module(&file).namespace(&namespace.name).start();
    namespace.create_object(&evc("a", "1Gi")).await.unwrap();
    let is_named = |found: &Value| found["metadata"]["labels"]["handler-host.dev/handler"] == "evc";
    namespace
        .wait_for(PVC, "a", "made by evc", DEADLINE, is_named)
        .await;
}

#[tokio::test]
async fn a_handler_in_a_file_is_previewed_as_it_would_be_applied() {
    let control_plane = ControlPlane::shared().await;
    let claims = VolumeClaims::served(control_plane, "previewed-file").await;
    claims.create_ready("a", "1Gi").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("handler.yaml");
    let handler = json!({
        "apiVersion": "handler-host.dev/v1alpha1", "kind": "Handler", "metadata": {"name": "evc"},
        "spec": {
            "module": {"path": paths::guest("evc").unwrap()},
            "parent": {"apiVersion": "kopf.dev/v1", "kind": "EphemeralVolumeClaim"},
            "children": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim"}],
            "config": {"copyLabels": ["team"]},
        },
    });
    std::fs::write(&file, handler.to_string()).unwrap();
    let labelled = json!({"metadata": {"labels": {"team": "a"}}});
    claims.change("a", &labelled).await;
    let kubeconfig = control_plane.kubeconfig(TestAccount::Host);
    let arguments = [
        "diff",
        "-f",
        file.to_str().unwrap(),
        "--namespace",
        &claims.namespace.name,
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
    ];
    let output = run(arguments).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stdout.contains("+    team: a"), "{}", output.stdout);
}

#[tokio::test]
async fn a_command_that_gets_a_module_alone_finds_who_serves_its_kind() {
    let workspace = paths::workspace();
    let crds = ["guest-evc/crd.yaml", "host/deploy/base/crd.yaml"];
    let control_plane = ControlPlane::own(crds.map(|crd| workspace.join(crd)).into()).await;
    let namespace = Namespace::create(&control_plane, "found").await;
    let handler = json!({
        "apiVersion": "handler-host.dev/v1alpha1", "kind": "Handler", "metadata": {"name": "claims"},
        "spec": {
            "module": {"path": "claims.wasm"},
            "parent": {"apiVersion": "kopf.dev/v1", "kind": "EphemeralVolumeClaim"},
            "children": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim"}],
            "serviceAccount": {"namespace": "team-a", "name": "claims"},
        },
    });
    handler_host_tests::objects::manifest::apply(&namespace.client, &[handler])
        .await
        .unwrap();
    namespace.create_object(&evc("a", "1Gi")).await.unwrap();
    let kubeconfig = control_plane.kubeconfig(TestAccount::Admin);
    let module = paths::guest("evc").unwrap();
    for (command, code, printed) in [
        ("diff", 1, "handler claims"),
        ("rbac", 0, "name: handler-host:claims\n"),
        ("rbac", 0, "namespace: team-a\n"),
    ] {
        let arguments = [
            command,
            "--module",
            module.to_str().unwrap(),
            "--kubeconfig",
            kubeconfig.to_str().unwrap(),
        ];
        let output = run(arguments).await;
        assert_eq!(output.code, Some(code), "{}", output.stderr);
        let told = "the Handler claims serves kopf.dev/v1 EphemeralVolumeClaim";
        assert!(output.stderr.contains(told), "{}", output.stderr);
        assert!(output.stdout.contains(printed), "{}", output.stdout);
    }
}

#[tokio::test]
async fn a_parent_with_the_longest_name_has_its_event() {
    let puppets = PuppetNamespace::serve("longest").await;
    let name = format!("{}.{}", "a".repeat(63), "b".repeat(189));
    assert_eq!(name.len(), 253);
    puppets.apply(&name, &desire_entry("a", "a")).await;
    puppets.served(&name).await;
    let events = puppets.wait_for_events(&name, 1).await;
    assert_eq!(events, ["Normal Reconciled: Created ConfigMap a"]);
}

#[tokio::test]
async fn a_kind_may_be_written_in_lower_case() {
    const WIDGET: ResourceKind = ("many.tests.handler-host.dev/v1", "widget");
    let hosted = Hosted::start("lower-case").await;
    let name = "widgets.many.tests.handler-host.dev";
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {
            "group": "many.tests.handler-host.dev", "scope": "Namespaced",
            "names": {"kind": "widget", "plural": "widgets", "singular": "widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let client = &hosted.namespace.client;
    handler_host_tests::objects::manifest::apply(client, &[crd])
        .await
        .unwrap();
    let kind = json!({"apiVersion": WIDGET.0, "kind": WIDGET.1});
    let children = json!([{"apiVersion": "v1", "kind": "ConfigMap", "onParentDelete": "Orphan"}]);
    let spec = json!({
        "module": {"path": paths::guest("puppet").unwrap()}, "parent": kind, "children": children,
        "config": {"parent": kind, "children": [{"apiVersion": "v1", "kind": "ConfigMap"}]},
    });
    hosted.apply("widget", &spec).await;
    let widget = object(
        WIDGET.0,
        WIDGET.1,
        "a",
        &json!({"spec": desire_entry("a", "a")}),
    );
    eventually("the kind is served", DEADLINE, async || {
        hosted.namespace.apply(&widget).await
    })
    .await;
    let is_made = |found: &Value| found["data"]["key"] == "a";
    let namespace = &hosted.namespace;
    namespace
        .wait_for(CONFIG_MAP, "a", "made", 2 * DEADLINE, is_made)
        .await;
}

/// Nobody listens there: the address is for documentation.
const PROXY: &str = "http://192.0.2.1:9";

#[rstest]
#[case::this_machine_is_never_proxied(None)]
#[case::an_address(Some("127.0.0.1,localhost"))]
#[case::a_network(Some("127.0.0.0/8"))]
#[case::a_last_comma(Some("localhost,127.0.0.1,"))]
#[case::entries_that_mean_nothing(Some("10.0.0.0/99, ,127.0.0.1"))]
#[tokio::test]
async fn a_proxy_is_used_where_kubectl_uses_it(#[case] no_proxy: Option<&str>) {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "proxied").await;
    let kubeconfig = control_plane.kubeconfig(TestAccount::Host);
    let module = paths::guest("evc").unwrap();
    let mut environment = vec![("HTTPS_PROXY", PROXY)];
    environment.extend(no_proxy.map(|value| ("NO_PROXY", value)));
    let arguments = [
        "diff",
        "--module",
        module.to_str().unwrap(),
        "--name",
        "evc",
        "--namespace",
        &namespace.name,
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
    ];
    let output =
        handler_host::run(&paths::handler_host().unwrap(), arguments, &environment, "").await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test]
async fn an_error_names_the_proxy_and_not_its_password() {
    let control_plane = ControlPlane::shared().await;
    let kubeconfig = std::fs::read(control_plane.kubeconfig(TestAccount::Host)).unwrap();
    let mut kubeconfig: Value = serde_json::from_slice(&kubeconfig).unwrap();
    // Nobody listens at this port.
    kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!("http://me:secret@127.0.0.1:9");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let module = paths::guest("evc").unwrap();
    let arguments = [
        "diff",
        "--module",
        module.to_str().unwrap(),
        "--name",
        "evc",
        "--kubeconfig",
        path.to_str().unwrap(),
    ];
    let output = run(arguments).await;
    assert_eq!(output.code, Some(2));
    assert!(
        output.stderr.contains("(through the proxy 127.0.0.1:9)"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
}
