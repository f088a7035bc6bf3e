//! Input that cannot be used is refused in one line with the value, the rule and the remedy, and nothing else is done.

use std::fs;

use handler_host_tests::programs::input_directory::{InputDirectory, RENDER_EVC, RENDER_PUPPET};
use handler_host_tests::{ControlPlane, TestAccount, evc, paths, puppet};
use insta::assert_snapshot;
use serde_json::json;

#[tokio::test]
async fn a_module_that_is_no_handler_is_refused_by_every_command() {
    let inputs = InputDirectory::new();
    let whole = fs::read(paths::guest("evc").unwrap()).unwrap();
    inputs.write("empty.wasm", "");
    inputs.write("text.wasm", "apiVersion: v1\n");
    inputs.write("half.wasm", &whole[..whole.len() / 2]);
    inputs.write("seven.wasm", &whole[..7]);
    inputs.write("core.wasm", b"\0asm\x01\0\0\0");
    inputs.write("other.wasm", wat::parse_str("(component)").unwrap());
    let import = r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#;
    inputs.write("import.wasm", wat::parse_str(import).unwrap());
    let version = r#"(component (import "handler-host:handler/log@0.9.0" (instance)))"#;
    inputs.write("version.wasm", wat::parse_str(version).unwrap());
    let modules = [
        "missing.wasm",
        "",
        "empty.wasm",
        "text.wasm",
        "half.wasm",
        "seven.wasm",
        "core.wasm",
        "other.wasm",
        "import.wasm",
        "version.wasm",
    ];
    let mut told = Vec::new();
    for module in modules {
        let inspected = inputs.refusal(&format!("inspect DIR/{module}")).await;
        let rendered = format!("render --module DIR/{module} --filename DIR/claim.yaml");
        assert_eq!(inputs.refusal(&rendered).await, inspected);
        assert_eq!(
            inputs.refusal(&format!("run --module DIR/{module}")).await,
            inspected
        );
        // The place where half of a module is broken depends on the compiler that made the module.
        let numbers = inspected.split(' ').map(|word| {
            if word.contains("..") {
                "FROM..TO"
            } else {
                word
            }
        });
        let line: Vec<_> = numbers.collect();
        told.push(
            line.join(" ")
                .replace(&(whole.len() / 2).to_string(), "HALF"),
        );
    }
    assert_snapshot!(told.join("\n"), @r#"
    module DIR/missing.wasm cannot be read: there is no such file; put it there, or correct the path
    module DIR/ cannot be read: it is a directory; put it there, or correct the path
    module DIR/empty.wasm is empty; build it again
    module DIR/text.wasm is not WebAssembly: it does not begin with the four bytes "\0asm"; name a .wasm file
    module DIR/half.wasm is broken: failed to parse WebAssembly module: wasm component contains an invalid module section: section range FROM..TO is out of bounds (bound = HALF); build or copy it again
    module DIR/seven.wasm is broken: it ends after 7 bytes; build or copy it again
    module DIR/core.wasm is a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`
    module DIR/other.wasm is a component of another world: it does not export `describe`; a handler exports `describe`, `related` and `reconcile` of handler-host:handler@0.2.0
    module DIR/import.wasm imports `wasi:http/outgoing-handler@0.2.0`, which handlers are not granted; a handler may import handler-host:handler/log and wasi:cli/imports@0.2, nothing else
    module DIR/version.wasm was built for handler-host:handler@0.9.0, this host speaks 0.2.0 and 0.1.0; build it against the wit/ of this host
    "#);
}

#[tokio::test]
async fn what_is_no_file_is_refused_at_once() {
    let inputs = InputDirectory::new();
    let pipe = inputs.directory.path().join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let socket = inputs.directory.path().join("socket.yaml");
    let _socket = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let mut told = Vec::new();
    for command in [
        "inspect DIR/pipe.yaml",
        "inspect DIR/socket.yaml",
        "inspect /dev/zero",
        "run --module DIR/pipe.yaml",
        "run --handler DIR/pipe.yaml",
        "render --module DIR/pipe.yaml --filename DIR/claim.yaml",
        "render --module GUESTS/evc.wasm --filename DIR/pipe.yaml",
        "render --module GUESTS/evc.wasm --filename /dev/zero",
    ] {
        told.push(inputs.refusal(command).await);
    }
    assert_snapshot!(told.join("\n"), @r"
    module DIR/pipe.yaml cannot be read: it is a pipe, not a regular file; put it there, or correct the path
    module DIR/socket.yaml cannot be read: it is a socket, not a regular file; put it there, or correct the path
    module /dev/zero cannot be read: it is a device, not a regular file; put it there, or correct the path
    module DIR/pipe.yaml cannot be read: it is a pipe, not a regular file; put it there, or correct the path
    DIR/pipe.yaml cannot be read: it is a pipe, not a regular file; name a file of Handlers
    module DIR/pipe.yaml cannot be read: it is a pipe, not a regular file; put it there, or correct the path
    DIR/pipe.yaml cannot be read: it is a pipe, not a regular file; name a file of YAML or JSON
    /dev/zero cannot be read: it is a device, not a regular file; name a file of YAML or JSON
    ");
}

#[tokio::test]
async fn a_file_of_claims_that_will_not_do_is_refused() {
    let inputs = InputDirectory::new();
    let header = "apiVersion: kopf.dev/v1\nkind: EphemeralVolumeClaim\n";
    let files: [(&str, &[u8]); 12] = [
        ("broken", b"spec: ["),
        ("list", b"- a\n- b\n"),
        ("string", b"hello\n"),
        ("number", b"42\n"),
        ("empty", b""),
        ("comment", b"# nothing\n---\n"),
        ("bytes", b"\xff\xfe\x00"),
        ("kindless", b"metadata: {name: a}\n"),
        (
            "kind",
            b"{apiVersion: v1, kind: Secret, metadata: {name: a}}",
        ),
        ("nameless", &[header.as_bytes(), b"metadata: {}"].concat()),
        (
            "no-metadata",
            &[header.as_bytes(), b"metadata: null"].concat(),
        ),
        ("second", &[header.as_bytes(), b"---\nspec: [\n"].concat()),
    ];
    let mut told = vec![
        inputs
            .refusal(&format!("{RENDER_EVC} DIR/missing.yaml"))
            .await,
    ];
    for (file, content) in files {
        inputs.write(&format!("{file}.yaml"), content);
        let command = format!("{RENDER_EVC} DIR/{file}.yaml");
        let output = inputs.run(&command).await;
        assert_eq!(output.stdout, "", "{file}");
        told.push(inputs.refusal(&command).await);
    }
    told.push(inputs.refusal(&format!("{RENDER_EVC} DIR")).await);
    assert_snapshot!(told.join("\n"), @r#"
    DIR/missing.yaml cannot be read: there is no such file; name a file of YAML or JSON
    DIR/broken.yaml is not YAML: line 1 column 7: unclosed bracket '['; mend it there
    DIR/list.yaml: ["a","b"] is not a Kubernetes object; write apiVersion, kind, metadata.name and spec
    DIR/string.yaml: "hello" is not a Kubernetes object; write apiVersion, kind, metadata.name and spec
    DIR/number.yaml: 42 is not a Kubernetes object; write apiVersion, kind, metadata.name and spec
    DIR/empty.yaml holds no object; write one kopf.dev/v1 EphemeralVolumeClaim
    DIR/comment.yaml holds no object; write one kopf.dev/v1 EphemeralVolumeClaim
    DIR/bytes.yaml cannot be read: it is not text in UTF-8; name a file of YAML or JSON
    DIR/kindless.yaml: {"metadata":{"name":"a"}} is not a Kubernetes object; write apiVersion, kind, metadata.name and spec
    DIR/kind.yaml: holds a v1 Secret; this handler is called for kopf.dev/v1 EphemeralVolumeClaim
    DIR/nameless.yaml: the EphemeralVolumeClaim has no metadata.name; give it one
    DIR/no-metadata.yaml: the EphemeralVolumeClaim has no metadata.name; give it one
    DIR/second.yaml is not YAML: line 4 column 7: unclosed bracket '['; mend it there
    DIR cannot be read: it is a directory; name a file of YAML or JSON
    "#);
}

#[tokio::test]
async fn a_config_that_will_not_do_is_refused_by_every_command() {
    let inputs = InputDirectory::new();
    let configs: [&[&str]; 6] = [
        &["storageClas=fast"],
        &["storageClass"],
        &["storageClass=a", "storageClass=b"],
        &["storageClass=3"],
        &["storageClass=[1"],
        &["=1"],
    ];
    let mut told = Vec::new();
    for config in configs {
        let more: Vec<_> = config
            .iter()
            .flat_map(|field| ["--config", field])
            .collect();
        let rendered = inputs
            .refusal_with(&format!("{RENDER_EVC} DIR/claim.yaml"), &more)
            .await;
        let run = inputs
            .refusal_with("run --module GUESTS/evc.wasm", &more)
            .await;
        let inspected = inputs.refusal_with("inspect GUESTS/evc.wasm", &more).await;
        assert_eq!([&run, &inspected], [&rendered, &rendered]);
        told.push(rendered);
    }
    assert_snapshot!(told.join("\n"), @r#"
    module GUESTS/evc.wasm: the handler refuses its config: config: unknown field `storageClas`, expected `storageClass` or `copyLabels`. Correct or remove it in the handler's config.
    --config "storageClass" has no `=`; write it as key=value, such as storageClass=fast
    --config storageClass is given twice; give each field once
    module GUESTS/evc.wasm: the handler refuses its config: config.storageClass: invalid type: integer `3`, expected a string. Correct or remove it in the handler's config.
    --config storageClass: "[1" is not YAML; quote it, such as storageClass='"…"'
    module GUESTS/evc.wasm: the handler refuses its config: config: unknown field ``, expected `storageClass` or `copyLabels`. Correct or remove it in the handler's config.
    "#);
}

#[tokio::test]
async fn a_module_that_cannot_say_what_it_is_is_refused_by_every_command() {
    let inputs = InputDirectory::new();
    inputs.write(
        "puppet.yaml",
        puppet("a", json!({"do": "apply"})).to_string(),
    );
    let configs = [
        "describe=trap",
        "describe=spin",
        "refuse=not with me",
        "parent={apiVersion: v1, kind: con_fig}",
        "children=[{apiVersion: a/b/c, kind: ConfigMap}]",
    ];
    let mut told = Vec::new();
    for config in configs {
        let more = ["--config", config];
        let rendered = inputs.refusal_with(RENDER_PUPPET, &more).await;
        let run = inputs
            .refusal_with("run --module GUESTS/puppet.wasm", &more)
            .await;
        let inspected = inputs
            .refusal_with("inspect GUESTS/puppet.wasm", &more)
            .await;
        assert_eq!([&run, &inspected], [&rendered, &rendered]);
        // The place of the panic in the source of the guest does not matter here.
        let cut = rendered.split(" panicked at ").collect::<Vec<_>>();
        told.push(
            cut[0].to_owned()
                + if cut.len() > 1 {
                    " panicked at …"
                } else {
                    ""
                },
        );
    }
    assert_snapshot!(told.join("\n"), @r#"
    module GUESTS/puppet.wasm: describing itself, the handler trapped: wasm `unreachable` instruction executed; it said: thread '<unnamed>' (1) panicked at …
    module GUESTS/puppet.wasm: describing itself, the handler ran longer than its deadline of 1000 ms; give it a longer deadline, or do less per call
    module GUESTS/puppet.wasm: the handler refuses its config: config: not with me. Correct or remove it in the handler's config.
    module GUESTS/puppet.wasm: the handler describes a kind that cannot exist: kind "con_fig" is not made of at most 63 letters, digits and `-`, beginning with a letter; write it as objects do, such as `ConfigMap`
    module GUESTS/puppet.wasm: the handler describes a kind that cannot exist: apiVersion "a/b/c" is neither `version` nor `group/version`; write `v1` or `kopf.dev/v1`
    "#);
}

#[tokio::test]
async fn what_can_never_be_granted_is_refused_before_a_cluster_is_asked() {
    let inputs = InputDirectory::new();
    let mut told = Vec::new();
    for name in ["Evc", "a.b", "a b", "", &"a".repeat(49)] {
        let more = ["--name", name];
        told.push(
            inputs
                .refusal_with("run --module GUESTS/evc.wasm", &more)
                .await,
        );
    }
    let own_kind = "children=[{apiVersion: tests.handler-host.dev/v1, kind: Puppet}]";
    let more = ["--config", own_kind];
    told.push(
        inputs
            .refusal_with("run --module GUESTS/puppet.wasm", &more)
            .await,
    );
    assert_snapshot!(told.join("\n"), @r#"
    handler name "Evc" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as `evc`
    handler name "a.b" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as `evc`
    handler name "a b" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as `evc`
    handler name "" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as `evc`
    handler name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as `evc`
    handler `puppet` describes its parent's kind tests.handler-host.dev/v1 Puppet as a child too; a handler's children must be of other kinds
    "#);
}

#[tokio::test]
async fn a_cluster_configuration_that_will_not_do_is_refused() {
    let inputs = InputDirectory::new();
    inputs.write("broken", "clusters: [");
    inputs.write("empty", "");
    inputs.write("claim", evc("a", "1G").to_string());
    let control_plane = ControlPlane::shared().await;
    let kubeconfig = control_plane.kubeconfig(TestAccount::Host);
    fs::copy(kubeconfig, inputs.directory.path().join("right")).unwrap();
    let mut told = Vec::new();
    for more in [
        "DIR/missing",
        "DIR",
        "DIR/broken",
        "DIR/empty",
        "DIR/claim",
        "DIR/right --context other",
    ] {
        let command = format!("run --module GUESTS/evc.wasm --kubeconfig {more}");
        told.push(inputs.refusal(&command).await);
    }
    assert_snapshot!(told.join("\n"), @r#"
    kubeconfig DIR/missing: No such file or directory (os error 2); set --kubeconfig or KUBECONFIG to a file that `kubectl` can use
    kubeconfig DIR: Is a directory (os error 21); set --kubeconfig or KUBECONFIG to a file that `kubectl` can use
    kubeconfig DIR/broken: failed to parse kubeconfig YAML: line 1 column 11: unclosed bracket '['; set --kubeconfig or KUBECONFIG to a file that `kubectl` can use
    kubeconfig DIR/empty: failed to determine current context; set --kubeconfig or KUBECONFIG to a file that `kubectl` can use
    kubeconfig DIR/claim: failed to determine current context; set --kubeconfig or KUBECONFIG to a file that `kubectl` can use
    kubeconfig DIR/right: failed to load current context: other; set --kubeconfig or KUBECONFIG to a file that `kubectl` can use
    "#);
}

#[tokio::test]
async fn scopes_that_do_not_fit_are_refused_once_the_cluster_tells_them() {
    let inputs = InputDirectory::new();
    let kubeconfig = ControlPlane::shared().await.kubeconfig(TestAccount::Host);
    let kubeconfig = kubeconfig.to_str().unwrap();
    let command = format!("run --module GUESTS/puppet.wasm --kubeconfig {kubeconfig}");
    let mut told = Vec::new();
    for more in [
        [
            "--config",
            "parent={apiVersion: v1, kind: Namespace}",
            "--namespace",
            "default",
        ],
        [
            "--config",
            "children=[{apiVersion: v1, kind: Namespace}]",
            "--namespace",
            "default",
        ],
    ] {
        told.push(inputs.refusal_with(&command, &more).await);
    }
    assert_snapshot!(told.join("\n"), @r#"
    v1 Namespace is cluster-scoped, so --namespace does not apply to it; leave --namespace out
    handler `puppet` describes the cluster-scoped child kind v1 Namespace for the namespaced parent kind tests.handler-host.dev/v1 Puppet; Kubernetes lets no namespaced object own it, so make the parent cluster-scoped or drop the child
    "#);
}

#[tokio::test]
async fn a_file_of_handlers_that_will_not_do_is_refused_before_any_cluster_is_asked() {
    let inputs = InputDirectory::new();
    let good = json!({
        "apiVersion": "handler-host.dev/v1alpha1", "kind": "Handler", "metadata": {"name": "evc"},
        "spec": {
            "module": {"path": "evc.wasm"},
            "parent": {"apiVersion": "kopf.dev/v1", "kind": "EphemeralVolumeClaim"},
        },
    });
    let with = |pointer: &str, value: serde_json::Value| {
        let mut bad = good.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[field] = value;
        bad.to_string()
    };
    let files = [
        ("text.yaml", "half: [".to_owned()),
        ("empty.yaml", "---\n".to_owned()),
        ("claim.yaml", evc("a", "1G").to_string()),
        ("name.yaml", with("/metadata/name", json!("Not A Name"))),
        ("unknown.yaml", with("/spec/colour", json!("blue"))),
        (
            "two-sources.yaml",
            with("/spec/module/image", json!("registry.example/evc:1")),
        ),
        (
            "digest.yaml",
            with("/spec/module/digest", json!("sha256:1")),
        ),
        (
            "deadline.yaml",
            with("/spec/limits", json!({"deadline": "5h"})),
        ),
        (
            "ratio.yaml",
            with("/spec/rollout", json!({"maxFailureRatio": 2})),
        ),
        ("twice.yaml", format!("{good}\n---\n{good}")),
    ];
    let mut told = vec![inputs.refusal("run --handler DIR/missing.yaml").await];
    for (name, text) in files {
        inputs.write(name, text);
        told.push(inputs.refusal(&format!("run --handler DIR/{name}")).await);
    }
    assert_snapshot!(told.join("\n"), @r#"
    DIR/missing.yaml cannot be read: there is no such file; name a file of Handlers, or a directory of such files
    DIR/text.yaml is not YAML: line 1 column 7; mend it there
    DIR/empty.yaml holds no Handler; write one, or leave the file out
    DIR/claim.yaml, document 1: a kopf.dev/v1 EphemeralVolumeClaim is no Handler of handler-host.dev/v1alpha1; write one
    DIR/name.yaml, document 1: metadata.name "Not A Name" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as evc
    DIR/unknown.yaml, document 1: spec.colour is no field of a Handler; there it has children, clock, config, limits, module, parent, paused, related, rollout, serviceAccount
    DIR/two-sources.yaml, document 1: spec.module names path and image; give exactly one of path, configMap and image
    DIR/digest.yaml, document 1: spec.module.digest "sha256:1" is no digest; write sha256: and 64 of 0-9a-f, as `sha256sum` prints them
    DIR/deadline.yaml, document 1: spec.limits.deadline "5h" is no duration of 10ms to 60s; write it as 1s
    DIR/ratio.yaml, document 1: spec.rollout.maxFailureRatio 2 is not within 0 to 1; write it as 0.5
    handler evc is in DIR/twice.yaml, document 1, and in DIR/twice.yaml, document 2; name it once
    "#);
}
