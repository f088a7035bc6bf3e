//! The CRD of Handlers on a real API server: what the API server fills in, refuses and shows.

use std::fs;

use handler_host_tests::objects::kinds::HANDLER;
use handler_host_tests::{ControlPlane, TestAccount, handler_host, objects, paths};
use insta::assert_snapshot;
use kube::Error;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn handlers() -> Api<DynamicObject> {
    let client = ControlPlane::shared()
        .await
        .client_as(TestAccount::Admin)
        .await;
    Api::all_with(client, &objects::resource(HANDLER.0, HANDLER.1))
}

fn evc(name: &str) -> Value {
    let spec = json!({
        "module": {"path": "/modules/evc.wasm"},
        "parent": {"apiVersion": "kopf.dev/v1", "kind": "EphemeralVolumeClaim"},
        "children": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim"}],
        "config": {"storageClass": "standard", "nested": {"any": [1, null]}},
    });
    objects::object(HANDLER.0, HANDLER.1, name, &json!({"spec": spec}))
}

/// Creates a Handler in a dry run. Returns the Handler as the API server would keep it, or why it refuses the Handler.
async fn tried(handlers: &Api<DynamicObject>, handler: &Value) -> Result<Value, String> {
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let handler = serde_json::from_value(handler.clone()).unwrap();
    match handlers.create(&dry_run, &handler).await {
        Ok(created) => Ok(serde_json::to_value(created).unwrap()),
        Err(Error::Api(status)) => {
            let (_, told) = status.message.split_once(" is invalid: ").unwrap();
            // When an object does not fit the schema, the API server does not check its rules, and says so in one more
            // cause.
            let (told, _) = told.split_once(", <nil>: ").unwrap_or((told, ""));
            Err(told.trim_start_matches('[').to_owned())
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs kubectl. Returns whether its exit code was 0, and what it printed to both outputs.
async fn kubectl(arguments: &[&str], input: &str) -> (bool, String) {
    let output = handler_host_tests::kubectl(ControlPlane::shared().await, arguments, input).await;
    (output.code == Some(0), output.stdout + &output.stderr)
}

#[tokio::test]
async fn the_printed_definition_is_the_deployed_one() {
    let printed = handler_host(["crd"]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    let deployed = fs::read_to_string(paths::handler_crd()).unwrap();
    assert_eq!(
        printed.stdout, deployed,
        "run `handler-host crd > host/deploy/base/crd.yaml`, and review the difference"
    );
    let json = handler_host(["crd", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json, serde_saphyr::from_str::<Value>(&deployed).unwrap());
}

#[tokio::test]
async fn kubectl_applies_the_printed_definition_without_a_warning() {
    let help = handler_host(["crd", "--help"]).await;
    assert!(
        help.stdout
            .contains("handler-host crd | kubectl apply -f -"),
        "{}",
        help.stdout
    );
    let printed = handler_host(["crd"]).await;
    let (is_applied, told) = kubectl(&["apply", "-f", "-"], &printed.stdout).await;
    assert!(is_applied, "{told}");
    let warnings = told.lines().filter(|line| line.starts_with("Warning"));
    // kubectl warns that the fixture applied the definition first, and not by kubectl.
    let warnings: Vec<_> = warnings
        .filter(|line| !line.contains("last-applied-configuration"))
        .collect();
    assert!(warnings.is_empty(), "{told}");
    let (is_applied, told) = kubectl(&["apply", "-f", "-"], &printed.stdout).await;
    assert!(is_applied && told.ends_with(" unchanged\n"), "{told}");
}

#[tokio::test]
async fn the_api_server_fills_in_what_a_handler_leaves_out() {
    let handlers = handlers().await;
    let filled = tried(&handlers, &evc("filled")).await.unwrap();
    assert_snapshot!(serde_saphyr::to_string(&filled["spec"]).unwrap(), @"
    children:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      onParentDelete: Delete
      update: InPlace
    config:
      nested:
        any:
        - 1
        - null
      storageClass: standard
    limits:
      childSize: 256Ki
      children: 100
      deadline: 1s
      memory: 64Mi
      related: 1000
      relatedSize: 4Mi
      responseSize: 4Mi
      statusSize: 256Ki
    module:
      path: /modules/evc.wasm
    parent:
      apiVersion: kopf.dev/v1
      condition: Ready
      kind: EphemeralVolumeClaim
      onParentUnmatch: Keep
    paused: false
    rollout:
      maxFailureRatio: 0.5
      preview: Optional
      window: 60s
    ");
    let mut least = evc("least");
    let spec = least["spec"].as_object_mut().unwrap();
    spec.retain(|field, _| field == "module" || field == "parent");
    // A field that is null counts as missing.
    spec["module"]["image"] = Value::Null;
    let filled = tried(&handlers, &least).await.unwrap();
    assert_eq!(filled["spec"]["children"], json!([]));
    assert_eq!(filled["spec"]["config"], json!({}));
    assert_eq!(
        filled["spec"]["module"],
        json!({"path": "/modules/evc.wasm"})
    );
}

#[tokio::test]
async fn the_api_server_takes_every_source_and_bound() {
    let handlers = handlers().await;
    let mut handler = evc(&"a".repeat(48));
    handler["spec"]["serviceAccount"] = json!({"namespace": "team-a", "name": "evc.team"});
    handler["spec"]["limits"] = json!({
        "memory": "1Gi", "deadline": "60s", "children": 1000, "childSize": "1Mi", "statusSize": "1Mi",
        "responseSize": "32Mi",
    });
    handler["spec"]["rollout"] =
        json!({"preview": "Required", "maxFailureRatio": 1, "window": "24h"});
    let image = |reference: &str| {
        json!({
            "image": reference,
            "digest": DIGEST,
            "pullSecret": {"namespace": "ns", "name": "secret"},
            "plainHttp": true,
            "pollInterval": "1m30s",
        })
    };
    for module in [
        json!({"configMap": {"namespace": "ns", "name": "evc", "key": "evc.wasm"}}),
        image("registry.example/team/evc:1"),
        image(&format!("localhost:5000/evc@{DIGEST}")),
        image(&format!("localhost:5000/evc:1@{DIGEST}")),
    ] {
        handler["spec"]["module"] = module;
        tried(&handlers, &handler).await.unwrap();
    }
    handler["spec"]["limits"] = json!({
        "memory": "1Mi", "deadline": "0.01s", "children": 0, "childSize": "1024", "statusSize": "1Ki",
        "responseSize": "64Ki",
    });
    handler["spec"]["rollout"] = json!({"maxFailureRatio": 0, "window": "1000ms"});
    handler["spec"]["children"] = (0..32)
        .map(|index| json!({"apiVersion": "v1", "kind": format!("Kind{index}")}))
        .collect();
    tried(&handlers, &handler).await.unwrap();
}

/// The messages with which the API server refuses a Handler whose field has this value, for each case.
async fn refusals(cases: &[(&str, Value)]) -> String {
    let handlers = handlers().await;
    let mut told = Vec::new();
    for (pointer, value) in cases {
        let mut handler = evc("refused");
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        handler.pointer_mut(parent).unwrap()[field] = value.clone();
        told.push(tried(&handlers, &handler).await.unwrap_err());
    }
    told.join("\n")
}

#[tokio::test]
async fn a_module_from_nowhere_or_everywhere_is_refused() {
    let image = "registry.example/evc:1";
    let cases = [
        ("/spec/module", json!({})),
        ("/spec/module", json!({"path": "/evc.wasm", "image": image})),
        ("/spec/module", json!({"path": ""})),
        ("/spec/module", json!({"image": "evc:1"})),
        ("/spec/module", json!({"image": "registry.example/evc"})),
        (
            "/spec/module",
            json!({"configMap": {"name": "a", "key": "b"}}),
        ),
        ("/spec/module/digest", json!("sha256:00")),
        (
            "/spec/module/pullSecret",
            json!({"namespace": "a", "name": "b"}),
        ),
        ("/spec/module/plainHttp", json!(false)),
        ("/spec/module/pollInterval", json!("1m")),
        (
            "/spec/module",
            json!({"image": image, "pollInterval": "25h"}),
        ),
    ];
    assert_snapshot!(refusals(&cases).await, @r#"
    spec.module: Invalid value: must name one source; give exactly one of path, configMap and image
    spec.module: Invalid value: must name one source; give exactly one of path, configMap and image
    spec.module.path: Invalid value: "": spec.module.path in body should be at least 1 chars long
    spec.module.image: Invalid value: "evc:1": must name registry, repository, and tag or digest; write it as registry.example/evc:1 or registry.example/evc@sha256:…
    spec.module.image: Invalid value: "registry.example/evc": must name registry, repository, and tag or digest; write it as registry.example/evc:1 or registry.example/evc@sha256:…
    spec.module.configMap.namespace: Required value
    spec.module.digest: Invalid value: "sha256:00": must be sha256: and 64 of 0-9a-f, as `sha256sum` prints them
    spec.module: Invalid value: pullSecret, plainHttp and pollInterval are for images only; drop them, or give image
    spec.module: Invalid value: pullSecret, plainHttp and pollInterval are for images only; drop them, or give image
    spec.module: Invalid value: pullSecret, plainHttp and pollInterval are for images only; drop them, or give image
    spec.module.pollInterval: Invalid value: "25h": must be a duration of 1s to 24h; write it as 1m
    "#);
}

#[tokio::test]
async fn a_name_or_kind_that_cannot_be_is_refused() {
    let child = json!({"apiVersion": "v1", "kind": "Secret"});
    let parent = json!({"apiVersion": "kopf.dev/v1", "kind": "EphemeralVolumeClaim"});
    let newer = json!({"apiVersion": "kopf.dev/v2", "kind": "EphemeralVolumeClaim"});
    let kept = json!({"apiVersion": "v1", "kind": "Secret", "onParentDelete": "Keep"});
    let cases = [
        ("/metadata/name", json!("a".repeat(49))),
        ("/metadata/name", json!("a.b")),
        ("/spec/parent/apiVersion", json!("a/b/c")),
        ("/spec/parent/kind", json!("cl aims")),
        ("/spec/children", json!([parent])),
        ("/spec/children", json!([child, newer])),
        ("/spec/children", json!([child, child])),
        ("/spec/children", json!([kept])),
        ("/spec/config", json!("text")),
    ];
    assert_snapshot!(refusals(&cases).await, @r#"
    <nil>: Invalid value: metadata.name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as evc
    <nil>: Invalid value: metadata.name "a.b" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as evc
    spec.parent.apiVersion: Invalid value: "a/b/c": must be `version` or `group/version`; write v1 or kopf.dev/v1
    spec.parent.kind: Invalid value: "cl aims": must be letters, digits and hyphens; write it as objects do, such as ConfigMap
    spec.children: Invalid value: children must be of other kinds than the parent, or the handler would call itself for ever; drop that child
    spec.children: Invalid value: children must be of other kinds than the parent, or the handler would call itself for ever; drop that child
    spec.children[1]: Duplicate value: {"apiVersion":"v1","kind":"Secret"}
    spec.children[0].onParentDelete: Unsupported value: "Keep": supported values: "Delete", "Orphan"
    spec.config: Invalid value: "string": spec.config in body must be of type object: "string"
    "#);
}

#[tokio::test]
async fn an_amount_out_of_bounds_is_refused() {
    let cases = [
        ("/spec/limits", json!({"memory": "1023Ki"})),
        ("/spec/limits", json!({"memory": "2Gi"})),
        ("/spec/limits", json!({"memory": "lots"})),
        ("/spec/limits", json!({"memory": "2000000.5"})),
        ("/spec/limits", json!({"deadline": "9ms"})),
        ("/spec/limits", json!({"deadline": "5h"})),
        ("/spec/limits", json!({"deadline": "soon"})),
        ("/spec/limits", json!({"deadline": "9999999999999999999h"})),
        ("/spec/limits", json!({"children": -1})),
        ("/spec/limits", json!({"children": 1001})),
        ("/spec/limits", json!({"childSize": "1023"})),
        ("/spec/limits", json!({"childSize": "2Mi"})),
        ("/spec/limits", json!({"statusSize": "2Mi"})),
        ("/spec/limits", json!({"responseSize": "1Ki"})),
        ("/spec/rollout", json!({"preview": "required"})),
        ("/spec/rollout", json!({"maxFailureRatio": 2})),
        ("/spec/rollout", json!({"window": "999ms"})),
    ];
    assert_snapshot!(refusals(&cases).await, @r#"
    spec.limits.memory: Invalid value: "1023Ki": must be a quantity of 1Mi to 1Gi; write it as 64Mi
    spec.limits.memory: Invalid value: "2Gi": must be a quantity of 1Mi to 1Gi; write it as 64Mi
    spec.limits.memory: Invalid value: "lots": must be a quantity of 1Mi to 1Gi; write it as 64Mi
    spec.limits.memory: Invalid value: "2000000.5": must be a quantity of 1Mi to 1Gi; write it as 64Mi
    spec.limits.deadline: Invalid value: "9ms": must be a duration of 10ms to 60s; write it as 1s
    spec.limits.deadline: Invalid value: "5h": must be a duration of 10ms to 60s; write it as 1s
    spec.limits.deadline: Invalid value: "soon": must be a duration of 10ms to 60s; write it as 1s
    spec.limits.deadline: Invalid value: "string": type conversion error from 'string' to 'google.protobuf.Duration' evaluating rule: must be a duration of 10ms to 60s; write it as 1s
    spec.limits.children: Invalid value: -1: spec.limits.children in body should be greater than or equal to 0
    spec.limits.children: Invalid value: 1001: spec.limits.children in body should be less than or equal to 1000
    spec.limits.childSize: Invalid value: "1023": must be a quantity of 1Ki to 1Mi; write it as 256Ki
    spec.limits.childSize: Invalid value: "2Mi": must be a quantity of 1Ki to 1Mi; write it as 256Ki
    spec.limits.statusSize: Invalid value: "2Mi": must be a quantity of 1Ki to 1Mi; write it as 256Ki
    spec.limits.responseSize: Invalid value: "1Ki": must be a quantity of 64Ki to 32Mi; write it as 4Mi
    spec.rollout.preview: Unsupported value: "required": supported values: "Optional", "Required"
    spec.rollout.maxFailureRatio: Invalid value: 2: spec.rollout.maxFailureRatio in body should be less than or equal to 1
    spec.rollout.window: Invalid value: "999ms": must be a duration of 1s to 24h; write it as 60s
    "#);
}

#[tokio::test]
async fn an_account_that_could_not_be_is_refused() {
    let account = |namespace: &str, name: &str| json!({"namespace": namespace, "name": name});
    let cases = [
        ("/spec/serviceAccount", json!({"name": "evc"})),
        ("/spec/serviceAccount", account("", "evc")),
        ("/spec/serviceAccount", account("team.a", "evc")),
        ("/spec/serviceAccount", account("team-a", "")),
        ("/spec/serviceAccount", account("team-a", "evc:admin")),
        ("/spec/serviceAccount", account("team-a", "Evc")),
    ];
    assert_snapshot!(refusals(&cases).await, @r#"
    spec.serviceAccount.namespace: Required value
    spec.serviceAccount.namespace: Invalid value: "": must be a DNS label; use a-z, 0-9 and `-`, such as team-a
    spec.serviceAccount.namespace: Invalid value: "team.a": must be a DNS label; use a-z, 0-9 and `-`, such as team-a
    spec.serviceAccount.name: Invalid value: "": must be a DNS subdomain; use a-z, 0-9, `-` and `.`, such as evc
    spec.serviceAccount.name: Invalid value: "evc:admin": must be a DNS subdomain; use a-z, 0-9, `-` and `.`, such as evc
    spec.serviceAccount.name: Invalid value: "Evc": must be a DNS subdomain; use a-z, 0-9, `-` and `.`, such as evc
    "#);
}

#[tokio::test]
async fn kubectl_refuses_a_field_that_handlers_do_not_have() {
    let mut handler = evc("handler-crd-unknown");
    handler["spec"]["limts"] = json!({"memory": "1Gi"});
    let arguments = ["apply", "--dry-run=server", "-f", "-"];
    let (is_applied, told) = kubectl(&arguments, &handler.to_string()).await;
    assert!(!is_applied, "{told}");
    assert!(told.contains(r#"unknown field "spec.limts""#), "{told}");
}

/// A status with all its fields.
fn status() -> Value {
    let now = "2026-01-02T03:04:05Z";
    let counts = json!({"parents": 3, "create": 0, "change": 2, "delete": 0, "failing": 1});
    let kinds = json!({
        "parent": {"apiVersion": "kopf.dev/v1", "kind": "EphemeralVolumeClaim"},
        "children": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim"}],
    });
    let mut described = kinds.clone();
    described["finalizer"] = json!(true);
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({
            "type": type_,
            "status": status,
            "reason": reason,
            "message": "",
            "lastTransitionTime": now,
        })
    };
    json!({
        "observedGeneration": 1,
        "conditions": [
            condition("Authorized", "False", "Forbidden"),
            condition("ModuleLoaded", "True", "Loaded"),
            condition("Ready", "False", "PreviewRequired"),
        ],
        "module": {
            "digest": DIGEST,
            "shortDigest": &DIGEST[7..19],
            "world": "handler-host:handler@0.1.0",
            "origin": "/modules/evc.wasm",
            "loadedAt": now,
        },
        "described": described,
        "granted": kinds,
        "parents": 3,
        "failingParents": 0,
        "lastSwap": {"to": DIGEST, "at": now},
        "candidate": {"digest": DIGEST, "preview": counts},
        "rolledBack": {"digest": DIGEST, "to": DIGEST, "error": "it trapped", "at": now},
        "calls": 10,
        "memoHits": 4,
    })
}

#[tokio::test]
async fn kubectl_shows_parent_module_and_readiness() {
    let name = "handler-crd-columns";
    let handlers = handlers().await;
    let handler = serde_json::from_value(evc(name)).unwrap();
    handlers
        .create(&PostParams::default(), &handler)
        .await
        .unwrap();
    let status = status();
    let patch = json!({"status": status});
    let patched = handlers
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_eq!(patched.data["status"], status);
    let (_, table) = kubectl(&["get", "handlers", name], "").await;
    let columns = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut rows = table.lines().map(columns);
    assert_eq!(
        rows.next().unwrap(),
        ["NAME", "PARENT", "MODULE", "READY", "REASON", "AGE"]
    );
    let row = rows.next().unwrap();
    assert_eq!(
        row[..5],
        [
            name,
            "EphemeralVolumeClaim",
            "e3b0c44298fc",
            "False",
            "PreviewRequired"
        ]
    );
    let (_, wide) = kubectl(&["get", "handlers", name, "--output", "wide"], "").await;
    let mut rows = wide.lines().map(columns);
    let (head, row) = (rows.next().unwrap(), rows.next().unwrap());
    assert_eq!(head[5..], ["MODULE-REASON", "AUTHORIZED", "AGE"]);
    assert_eq!(row[5..7], ["Loaded", "Forbidden"]);
    handlers
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
}
