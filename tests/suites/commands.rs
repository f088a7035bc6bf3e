//! What the commands print that need no cluster, and their exit codes.

use std::fs;

use handler_host_tests::programs::handler_host::handler_host_with;
use handler_host_tests::programs::input_directory::{
    InputDirectory, RENDER_EVC, RENDER_PUPPET, complaints,
};
use handler_host_tests::{evc, paths, puppet};
use insta::assert_snapshot;
use serde_json::{Value, json};

#[tokio::test]
async fn an_outcome_of_render_has_a_code_of_its_own() {
    let inputs = InputDirectory::new();
    let cases = [
        json!({"do": "apply"}),
        json!({"do": "permanent", "message": "no"}),
        json!({"do": "temporary", "message": "not yet"}),
        json!({"do": "trap"}),
        json!({"do": "spin"}),
        json!({"do": "hog"}),
        json!({"do": "recurse"}),
        json!({"do": "handles"}),
        json!({"do": "draw", "bytes": 1_u64 << 40}),
        json!({"do": "flood", "count": 101}),
        json!({"do": "garbage"}),
        json!({"do": "nonsense"}),
    ];
    let mut told = Vec::new();
    for spec in cases {
        inputs.write("puppet.yaml", puppet("a", spec.clone()).to_string());
        let output = inputs.run(RENDER_PUPPET).await;
        assert_eq!(output.stdout, "", "{spec}");
        let complaint = complaints(&output).join("\n");
        let complaint = complaint.split(" panicked at ").next().unwrap();
        let line = format!("{} {} {complaint}", output.code.unwrap(), spec["do"]);
        told.push(line.trim_end().to_owned());
    }
    assert_snapshot!(told.join("\n"), @r#"
    0 "apply"
    3 "permanent" a: PermanentFailure: no
    4 "temporary" a: TemporaryFailure: not yet
    5 "trap" a: Trapped: the handler trapped: wasm `unreachable` instruction executed; it said: thread '<unnamed>' (1)
    5 "spin" a: DeadlineExceeded: the handler ran longer than its deadline of 1000 ms; give it a longer deadline, or do less per call
    5 "hog" a: MemoryLimitExceeded: the handler asked for more memory than its limit of 64 MiB; give it a higher limit, or use less
    5 "recurse" a: Trapped: the handler trapped: call stack exhausted
    5 "handles" a: Trapped: the handler trapped: it held more than 1000 handles
    5 "draw" a: Trapped: the handler trapped: requested len 1099511627776 exceeds limit 65536
    6 "flood" a: Denied: handler `puppet` returned 101 children, its limit is 100; return fewer
    6 "garbage" a: Denied: handler `puppet` returned child 0, which is no Kubernetes object in JSON (EOF while parsing a string at line 1 column 16); return an object with apiVersion, kind and metadata.name
    3 "nonsense" a: PermanentFailure: spec: unknown variant `nonsense`, expected one of `apply`, `permanent`, `temporary`, `trap`, `spin`, `hog`, `recurse`, `handles`, `draw`, `say`, `chatter`, `garbage`, `flood`, `huge`, `chain`, `alternate`, `blink`, `entropy`, `environment`, `echo`, `relate`, `askPermanent`, `askTrap`. Correct it in this object.
    "#);
}

#[tokio::test]
async fn what_a_guest_says_cannot_forge_a_line() {
    let inputs = InputDirectory::new();
    let spec = json!({"do": "permanent", "message": "no\nerror: a: forged\u{1b}[31m"});
    inputs.write("puppet.yaml", puppet("a", spec).to_string());
    let output = inputs.run(RENDER_PUPPET).await;
    assert_eq!(
        complaints(&output),
        ["a: PermanentFailure: no error: a: forged [31m"]
    );
}

#[tokio::test]
async fn the_limits_of_a_call_are_set_for_every_command() {
    let inputs = InputDirectory::new();
    inputs.write("puppet.yaml", puppet("a", json!({"do": "hog"})).to_string());
    let render = inputs.run_with(RENDER_PUPPET, &["--memory", "8"]).await;
    assert_eq!(render.code, Some(5), "{}", render.stderr);
    assert!(
        render.stderr.contains("its limit of 8 MiB"),
        "{}",
        render.stderr
    );
    let spin = ["--deadline", "50", "--config", "describe=spin"];
    for command in [
        RENDER_PUPPET,
        "inspect GUESTS/puppet.wasm",
        "run --module GUESTS/puppet.wasm",
    ] {
        let told = inputs.refusal_with(command, &spin).await;
        assert!(told.contains("its deadline of 50 ms"), "{told}");
    }
}

#[tokio::test]
async fn of_several_objects_all_are_rendered_and_the_first_failure_gives_the_code() {
    let inputs = InputDirectory::new();
    let claims = [
        evc("a", "1G"),
        evc("b", Value::Null),
        evc("c", "many"),
        evc("d", 1024),
    ];
    let documents = claims.map(|claim| claim.to_string()).join("\n---\n");
    inputs.write("claims.yaml", documents);
    let output = inputs.run(&format!("{RENDER_EVC} DIR/claims.yaml")).await;
    assert_eq!(output.code, Some(3));
    let names: Vec<_> = output
        .stdout
        .lines()
        .filter(|line| line.starts_with("  name: "))
        .collect();
    assert_eq!(names, ["  name: a", "  name: d"]);
    assert_snapshot!(complaints(&output).join("\n"), @r#"
    b: PermanentFailure: Size must be set. Got null.
    c: PermanentFailure: Size must be a quantity such as 1Gi. Got "many".
    "#);
}

#[tokio::test]
async fn render_reads_standard_input_and_prints_the_children_as_yaml() {
    let claim = evc("a", "1G").to_string();
    let module = paths::guest("evc").unwrap();
    let module = module.to_str().unwrap();
    let yaml = handler_host_with(["render", "-m", module, "-f", "-"], &[], &claim).await;
    assert_eq!((yaml.code, yaml.stderr.as_str()), (Some(0), ""));
    assert_snapshot!(yaml.stdout, @r#"
    ---
    apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      annotations:
        volume.beta.kubernetes.io/storage-class: standard
      labels: {}
      name: a
    spec:
      accessModes:
      - ReadWriteOnce
      resources:
        requests:
          storage: 1G
    "#);
}

#[tokio::test]
async fn render_prints_all_that_the_handler_said_as_json() {
    let inputs = InputDirectory::new();
    inputs.write(
        "puppet.yaml",
        puppet(
            "a",
            json!({
                "do": "apply",
                "children": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}],
                "status": {"size": "1G"},
                "waiting": "for the moon",
                "events": [{"severity": "warning", "reason": "Slow", "message": "again"}],
                "requeueAfterMs": 1500,
            }),
        )
        .to_string(),
    );
    let json = inputs.run_with(RENDER_PUPPET, &["--output", "json"]).await;
    assert_eq!(json.code, Some(0), "{}", json.stderr);
    assert_snapshot!(json.stdout, @r#"
    {
      "children": [
        {
          "apiVersion": "v1",
          "kind": "ConfigMap",
          "metadata": {
            "name": "a"
          }
        }
      ],
      "conditions": [],
      "events": [
        {
          "message": "again",
          "reason": "Slow",
          "type": "Warning"
        }
      ],
      "keep": [],
      "object": "a",
      "requeueAfterSeconds": 1.5,
      "requeueAtMilliseconds": null,
      "status": {
        "size": "1G"
      },
      "waiting": "for the moon"
    }
    "#);
    let yaml = inputs.run(RENDER_PUPPET).await;
    assert_eq!(complaints(&yaml), ["a: waiting: for the moon"]);
}

/// The output of `inspect` without what varies: digest and size differ from build to build, and the imports from WASI
/// depend on the toolchain.
fn redacted(printed: &str) -> String {
    let lines = printed.lines().filter(|line| !line.contains("wasi:"));
    lines
        .map(|line| match line.split_once("sha256:") {
            Some((before, digest)) => {
                let rest = digest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
                format!("{before}sha256:DIGEST{rest}\n")
            }
            None if line.contains("size") => {
                let digits = |c: char| c.is_ascii_digit();
                let (first, last) = (line.find(digits).unwrap(), line.rfind(digits).unwrap());
                format!("{}N{}\n", &line[..first], &line[last + 1..])
            }
            None => format!("{line}\n"),
        })
        .collect()
}

#[tokio::test]
async fn inspect_says_what_a_module_is() {
    let inputs = InputDirectory::new();
    let text = inputs
        .run("inspect GUESTS/puppet.wasm --config finalizer=true")
        .await;
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
    assert_snapshot!(redacted(&text.stdout), @r#"
    digest:    sha256:DIGEST
    size:      N bytes
    world:     handler-host:handler@0.2.0
    imports:   handler-host:handler/log@0.2.0
               handler-host:handler/types@0.2.0
    parent:    tests.handler-host.dev/v1 Puppet
    children:  v1 ConfigMap
               v1 PersistentVolumeClaim
    related:   none
    finalizer: yes
    clock:     none
    "#);
    let json = inputs.run("inspect GUESTS/evc.wasm --output json").await;
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""));
    let whole: Value = serde_json::from_str(&json.stdout).unwrap();
    let bytes = fs::read(paths::guest("evc").unwrap()).unwrap();
    assert_eq!(whole["size"], bytes.len());
    assert_snapshot!(redacted(&json.stdout), @r#"
    {
      "describes": {
        "children": [
          {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim"
          }
        ],
        "clockMilliseconds": null,
        "finalizer": false,
        "parent": {
          "apiVersion": "kopf.dev/v1",
          "kind": "EphemeralVolumeClaim"
        },
        "related": []
      },
      "digest": "sha256:DIGEST",
      "imports": [
        "handler-host:handler/types@0.2.0",
      ],
      "size": N,
      "world": "handler-host:handler@0.2.0"
    }
    "#);
}

#[tokio::test]
async fn help_teaches_and_wrong_usage_has_a_code_of_its_own() {
    let inputs = InputDirectory::new();
    let help = inputs.run("--help").await;
    assert_eq!(help.code, Some(0));
    assert_snapshot!(help.stdout, @r#"
    Run Kubernetes handlers: WebAssembly components that say which objects should exist.

    The host watches, checks, applies, reports and retries. A handler has no network, no credentials, no
    files and no clock: it is a function from (parent, observed children, related objects, config, time)
    to desired children.

    Usage: handler-host <COMMAND>

    Commands:
      run          Serve handlers: watch their parents in a cluster and keep their children as they say
      diff         Show what a module would change in a cluster, as diffs of children; changes nothing
      render       Call a handler for objects in a file and print the children it desires; needs no
                   cluster
      inspect      Say what a module is: digest, size, world, imports, and the kinds it handles
      push         Push a module to a registry as an OCI image, and print what pins it
      crd          Print the definition of Handlers: `handler-host crd | kubectl apply -f -`
      rbac         Print the roles that a handler needs, for `kubectl apply -f -`
      completions  Print a completion script for a shell, e.g. `source <(handler-host completions bash)`
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version
    "#);
    for command in ["run", "diff", "render", "inspect"] {
        let help = inputs.run(&format!("{command} --help")).await;
        assert_eq!(help.code, Some(0));
        assert!(help.stdout.contains("--config"), "{}", help.stdout);
    }
    for usage in [
        "serve",
        "render --module GUESTS/evc.wasm",
        "run --concurrency 0",
    ] {
        let output = inputs.run(usage).await;
        assert_eq!(output.code, Some(2), "{usage}");
        assert!(output.stderr.starts_with("error: "), "{}", output.stderr);
    }
    let completions = inputs.run("completions bash").await;
    assert_eq!(completions.code, Some(0));
    assert!(completions.stdout.contains("render"));
}
