//! What `handler-host diff` says about parents that would fail, and when it cannot make a preview.

use handler_host_tests::guests::puppets::{desire, desire_entry};
use handler_host_tests::namespace::claims::IN_TURN;
use handler_host_tests::namespace::preview::{diff, diff_as, redacted, versions};
use handler_host_tests::objects::config_map;
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::programs::handler_host::handler_host_with;
use handler_host_tests::{
    ControlPlane, Namespace, Output, PuppetNamespace, TestAccount, VolumeClaims, handler_host,
    paths,
};
use insta::assert_snapshot;
use serde_json::json;

#[tokio::test]
async fn conflicts_denials_and_faults_are_failures_that_would_be_new() {
    let mut puppets = PuppetNamespace::serve("preview-fails").await;
    let names = ["conflict", "denied", "rejected", "temporary", "traps"];
    for name in names {
        puppets.apply(name, &desire_entry(name, "a")).await;
    }
    for name in names {
        puppets.served(name).await;
    }
    puppets.operator.terminate().await;
    let foreign = config_map("taken", "key", "theirs");
    puppets.namespace.create_object(&foreign).await.unwrap();
    // The preview shows what fails and what would be done in spite of it; nothing would be deleted.
    let taken = [
        config_map("taken", "key", "ours"),
        config_map("new", "key", "a"),
    ];
    puppets.apply("conflict", &desire(&taken)).await;
    puppets.apply("denied", &json!({"do": "garbage"})).await;
    let mut bad = config_map("rejected", "key", "a");
    bad["data"]["key"] = json!(1);
    puppets.apply("rejected", &desire(&[bad])).await;
    let failure = json!({"do": "temporary", "message": "not yet\n! forged\u{1b}[31m"});
    puppets.apply("temporary", &failure).await;
    puppets.apply("traps", &json!({"do": "trap"})).await;

    let output = diff("puppet", &puppets.namespace, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let lines = output.stdout.lines();
    let told: Vec<_> = lines
        .filter(|line| {
            ["! ", "+++ ", "--- "]
                .iter()
                .any(|mark| line.starts_with(mark))
        })
        .map(|line| line.split(" panicked at ").next().unwrap())
        .collect();
    assert_snapshot!(redacted(&told.join("\n"), &puppets.namespace), @"
    --- /dev/null
    +++ ConfigMap NAMESPACE/new (handler puppet, DIGEST)
    ! Puppet NAMESPACE/conflict would fail: Conflict: ConfigMap taken exists, and it is not this object's; give this object another name, or hand that one over to the handler, which keeps its data: kubectl annotate configmap taken -n NAMESPACE handler-host.dev/hand-over-to=puppet
    ! Puppet NAMESPACE/denied would fail: Denied: handler `puppet` returned child 0, which is no Kubernetes object in JSON (EOF while parsing a string at line 1 column 16); return an object with apiVersion, kind and metadata.name
    ! Puppet NAMESPACE/rejected would fail: Rejected: the API server refused ConfigMap rejected: failed to create typed patch object (NAMESPACE/rejected; /v1, Kind=ConfigMap): .data.key: expected string, got &value.valueUnstructured{Value:1}
    ! Puppet NAMESPACE/temporary would fail: TemporaryFailure: not yet ! forged [31m
    ! Puppet NAMESPACE/traps would fail: Trapped: the handler trapped: wasm `unreachable` instruction executed; it said: thread '<unnamed>' (1)
    ");
    assert_snapshot!(redacted(&output.stderr, &puppets.namespace), @"5 Puppets: 0 children change, 1 is created, 0 are deleted, 5 Puppets newly fail (SECONDS s)");
}

#[tokio::test]
async fn another_config_is_tried_beside_the_running_operator() {
    let claims =
        VolumeClaims::served_with(ControlPlane::shared().await, "preview-class", &IN_TURN).await;
    claims.create_ready("a", "1Gi").await;
    let before = versions(&claims.namespace, &[CLAIM, PVC]).await;
    let more = ["--config", "storageClass=fast"];
    let output = diff("evc", &claims.namespace, &more).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_snapshot!(redacted(&output.stdout, &claims.namespace), @r#"! EphemeralVolumeClaim NAMESPACE/a would fail: Rejected: the API server refused PersistentVolumeClaim a: PersistentVolumeClaim "a" is invalid: metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: "fast": field is immutable"#);
    assert_snapshot!(redacted(&output.stderr, &claims.namespace), @"1 EphemeralVolumeClaim: 0 children change, 0 are created, 0 are deleted, 1 EVC newly fails (SECONDS s)");
    assert_eq!(versions(&claims.namespace, &[CLAIM, PVC]).await, before);

    let same = diff(
        "evc",
        &claims.namespace,
        &["--config", "storageClass=standard"],
    )
    .await;
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""));
}

/// The error message of a `diff` that made no preview, without `error: `.
fn refusal(output: &Output) -> String {
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(2), ""),
        "{}",
        output.stderr
    );
    let [line] = output.stderr.lines().collect::<Vec<_>>()[..] else {
        panic!("not one line: {}", output.stderr);
    };
    line.strip_prefix("error: ").unwrap().to_owned()
}

#[tokio::test]
async fn where_there_is_no_preview_one_line_says_why_and_what_to_do() {
    let namespace = Namespace::create(ControlPlane::shared().await, "preview-none").await;
    let mut told = Vec::new();
    let missing = "parent={apiVersion: kopf.dev/v9, kind: Missing}";
    let unserved = "parent={apiVersion: kopf.dev/v1, kind: Missing}";
    let cluster = "parent={apiVersion: v1, kind: Node}";
    for more in [
        &["--config", missing][..],
        &["--config", unserved],
        &["--config", cluster],
        &["--name", "Not A Name"],
        &["--config", "refuse=never"],
        &["--context", "elsewhere"],
    ] {
        told.push(refusal(&diff("puppet", &namespace, more).await));
    }
    let nobody = diff_as(TestAccount::Nobody, "puppet", &namespace, &[]).await;
    told.push(refusal(&nobody));
    let module = paths::guest("puppet").unwrap().display().to_string();
    for arguments in [
        [
            "--module",
            "/nowhere/puppet.wasm",
            "--kubeconfig",
            "/nowhere/config",
        ],
        ["--module", &module, "--kubeconfig", "/nowhere/config"],
    ] {
        let arguments = ["diff"].into_iter().chain(arguments);
        told.push(refusal(&handler_host(arguments).await));
    }
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("config");
    let away = json!({
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {}}],
        "current-context": "a",
    });
    std::fs::write(&kubeconfig, away.to_string()).unwrap();
    let environment = [("KUBECONFIG", kubeconfig.to_str().unwrap())];
    let arguments = ["diff", "--module", &module];
    let away = handler_host_with(arguments, &environment, "").await;
    told.push(refusal(&away));
    let told = told.join("\n").replace(&module, "GUESTS/puppet.wasm");
    let kubeconfig = ControlPlane::shared().await.kubeconfig(TestAccount::Host);
    let told = told.replace(kubeconfig.to_str().unwrap(), "KUBECONFIG");
    assert_snapshot!(redacted(&told, &namespace), @r#"
    the API server does not serve kopf.dev/v9 Missing; apply its CustomResourceDefinition
    the API server does not serve kopf.dev/v1 Missing; apply its CustomResourceDefinition
    v1 Node is cluster-scoped and lives in no namespace; name none
    handler name "Not A Name" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as `evc`
    module GUESTS/puppet.wasm: the handler refuses its config: config: never. Correct or remove it in the handler's config.
    kubeconfig KUBECONFIG: failed to load current context: elsewhere; set --kubeconfig or KUBECONFIG to a file that `kubectl` can use
    listing tests.handler-host.dev/v1 Puppet: puppets.tests.handler-host.dev is forbidden: User "nobody" cannot list resource "puppets" in API group "tests.handler-host.dev" in the namespace "NAMESPACE"; preview as somebody who may
    module /nowhere/puppet.wasm cannot be read: there is no such file; put it there, or correct the path
    kubeconfig /nowhere/config: No such file or directory (os error 2); set --kubeconfig or KUBECONFIG to a file that `kubectl` can use
    looking for tests.handler-host.dev/v1 Puppet: Connection refused (os error 111); preview again when the API server answers
    "#);

    let usage = handler_host(["diff"]).await;
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
}
