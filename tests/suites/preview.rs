//! `handler-host diff`: what a module would change, before it does.

use std::ffi::OsString;

use handler_host_tests::namespace::{CONFIG_MAP, Kind, PUPPET, PVC};
use handler_host_tests::objects::config_map;
use handler_host_tests::{
    Claims, ControlPlane, Entries, Identity, Mark, Namespace, Output, evc, handler_host, paths,
};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::stage::{Stage, desire, desire_entry};

/// Runs `diff` over a namespace, as the host's own identity.
pub(crate) async fn diff(guest: &str, namespace: &Namespace, more: &[&str]) -> Output {
    diff_as(Identity::Host, guest, namespace, more).await
}

pub(crate) async fn diff_as(
    who: Identity,
    guest: &str,
    namespace: &Namespace,
    more: &[&str],
) -> Output {
    let kubeconfig = ControlPlane::shared().await.kubeconfig(who);
    let mut arguments: Vec<OsString> = vec!["diff".into(), "--module".into()];
    arguments.push(paths::guest(guest).unwrap().into());
    arguments.extend(["--namespace".into(), namespace.name.clone().into()]);
    arguments.extend(["--kubeconfig".into(), kubeconfig.into()]);
    arguments.extend(more.iter().map(OsString::from));
    handler_host(arguments).await
}

/// What differs from run to run, named.
pub(crate) fn redacted(text: &str, namespace: &Namespace) -> String {
    let text = text.replace(&namespace.name, "NAMESPACE");
    let words = text.split_inclusive([' ', '\n', '(', ')', '"', ',']);
    words
        .map(|part| {
            let word = part.trim_end_matches([' ', '\n', '(', ')', '"', ',']);
            let end = &part[word.len()..];
            let is_uid = word.len() == 36 && word.matches('-').count() == 4;
            let is_time = word.ends_with('Z') && word.contains('T') && word.contains(':');
            let is_seconds = word.parse::<f64>().is_ok() && word.contains('.');
            let named = match word.strip_prefix("sha256:") {
                Some(_) => "DIGEST",
                None if is_uid => "UID",
                None if is_time => "TIME",
                None if is_seconds => "SECONDS",
                None => word,
            };
            format!("{named}{end}")
        })
        .collect()
}

/// The versions of a namespace's objects of these kinds.
pub(crate) async fn versions(namespace: &Namespace, kinds: &[Kind]) -> Vec<Value> {
    let mut versions = Vec::new();
    for kind in kinds {
        let objects = namespace.list(*kind).await;
        versions.extend(objects.iter().map(|object| {
            json!([
                object["metadata"]["name"],
                object["metadata"]["resourceVersion"]
            ])
        }));
    }
    versions
}

/// What whoever previews as the host asked for since a mark, the operator being gone.
async fn requests(mark: &Mark, namespace: &Namespace) -> Entries {
    let all = ControlPlane::shared().await.audit_since(mark).await;
    all.by(Identity::Host.user()).in_namespace(&namespace.name)
}

#[tokio::test]
async fn a_module_that_changes_nothing_says_so_and_sends_no_dry_run() {
    let mut stage = Stage::set("preview-same").await;
    // The API server writes this size in another form.
    let mut volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "a"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
    });
    let children = [config_map("a", "key", "a"), volume.take()];
    stage.puppet("a", &desire(&children)).await;
    stage.served("a").await;
    stage.operator.terminate().await;

    let mark = stage.mark();
    let output = diff("puppet", &stage.namespace, &[]).await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""));
    assert_snapshot!(redacted(&output.stderr, &stage.namespace), @"1 Puppet: 0 children change, 0 are created, 0 are deleted, 0 Puppets newly fail (SECONDS s)");
    let requests = requests(&mark, &stage.namespace).await;
    assert_eq!(
        requests.verb("list").count(),
        requests.count(),
        "{requests}"
    );
}

/// A stage whose puppets do something else since their operator ended.
async fn changed_stage(prefix: &str) -> Stage {
    let mut stage = Stage::set(prefix).await;
    let child = |name: &str| config_map(name, "key", "before");
    stage.puppet("changes", &desire(&[child("changed")])).await;
    stage.puppet("creates", &desire(&[child("kept")])).await;
    stage.puppet("deletes", &desire(&[child("deleted")])).await;
    stage.puppet("fails", &desire(&[child("stays")])).await;
    stage.puppet("stays", &desire(&[child("same")])).await;
    let failure = json!({"do": "permanent", "message": "no size"});
    stage.puppet("fails-already", &failure).await;
    for name in ["changes", "creates", "deletes", "fails", "stays"] {
        stage.served(name).await;
    }
    stage
        .outcome("fails-already", "False", "PermanentFailure")
        .await;
    stage.operator.terminate().await;

    let theirs = config_map("changed", "theirs", "kept");
    stage.namespace.apply(&theirs).await.unwrap();
    let changed = config_map("changed", "key", "after");
    stage.puppet("changes", &desire(&[changed])).await;
    let both = [child("kept"), child("created")];
    stage.puppet("creates", &desire(&both)).await;
    stage.puppet("deletes", &desire(&[])).await;
    stage.puppet("fails", &failure).await;
    stage
}

#[tokio::test]
async fn what_would_change_is_shown_child_by_child() {
    let stage = changed_stage("preview-diff").await;
    let output = diff("puppet", &stage.namespace, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_snapshot!(redacted(&output.stdout, &stage.namespace), @r#"
    --- ConfigMap NAMESPACE/changed (live)
    +++ ConfigMap NAMESPACE/changed (handler puppet, DIGEST)
    @@ -1,6 +1,6 @@
     apiVersion: v1
     data:
    -  key: before
    +  key: after
       theirs: kept
     kind: ConfigMap
     metadata:
    --- /dev/null
    +++ ConfigMap NAMESPACE/created (handler puppet, DIGEST)
    @@ -0,0 +1,18 @@
    +apiVersion: v1
    +data:
    +  key: before
    +kind: ConfigMap
    +metadata:
    +  labels:
    +    app.kubernetes.io/managed-by: handler-host
    +    handler-host.dev/handler: puppet
    +    handler-host.dev/parent-uid: UID
    +  name: created
    +  namespace: NAMESPACE
    +  ownerReferences:
    +  - apiVersion: tests.handler-host.dev/v1
    +    blockOwnerDeletion: true
    +    controller: true
    +    kind: Puppet
    +    name: creates
    +    uid: UID
    --- ConfigMap NAMESPACE/deleted (live)
    +++ /dev/null
    @@ -1,20 +0,0 @@
    -apiVersion: v1
    -data:
    -  key: before
    -kind: ConfigMap
    -metadata:
    -  creationTimestamp: "TIME"
    -  labels:
    -    app.kubernetes.io/managed-by: handler-host
    -    handler-host.dev/handler: puppet
    -    handler-host.dev/parent-uid: UID
    -  name: deleted
    -  namespace: NAMESPACE
    -  ownerReferences:
    -  - apiVersion: tests.handler-host.dev/v1
    -    blockOwnerDeletion: true
    -    controller: true
    -    kind: Puppet
    -    name: deletes
    -    uid: UID
    -  uid: UID
    ! Puppet NAMESPACE/fails would fail: PermanentFailure: no size
    "#);
}

#[tokio::test]
async fn a_preview_lists_and_tries_and_writes_nothing() {
    let stage = changed_stage("preview-reads").await;
    let before = versions(&stage.namespace, &[PUPPET, CONFIG_MAP]).await;
    let mark = stage.mark();
    let output = diff("puppet", &stage.namespace, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);

    let requests = requests(&mark, &stage.namespace).await;
    assert_eq!(requests.writes().count(), 0, "{requests}");
    assert_eq!(requests.dry_runs().count(), 3, "{requests}");
    let others = requests.only(|entry| !entry.is_dry_run() && entry.verb != "list");
    assert_eq!(others.count(), 0, "{requests}");
    assert_eq!(
        versions(&stage.namespace, &[PUPPET, CONFIG_MAP]).await,
        before
    );
    assert_snapshot!(redacted(&output.stderr, &stage.namespace), @"6 Puppets: 1 child changes, 1 is created, 1 is deleted, 1 Puppet newly fails, 1 fails already (SECONDS s)");
    // The same again: the order depends on nothing but the objects.
    let again = diff("puppet", &stage.namespace, &[]).await;
    assert_eq!(again.stdout, output.stdout);
}

#[tokio::test]
async fn what_would_change_can_be_had_as_json() {
    let stage = changed_stage("preview-json").await;
    let output = diff("puppet", &stage.namespace, &["--output", "json"]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let whole: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(whole["handler"], "puppet");
    assert_eq!(whole["parents"], 6);
    assert_eq!(
        whole["summary"],
        json!({"changed": 1, "created": 1, "deleted": 1, "newlyFailing": 1, "alreadyFailing": 1})
    );
    let changes = whole["changes"].as_array().unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|change| {
            let values = ["before", "after"].map(|side| change[side]["data"]["key"].clone());
            json!([
                change["parent"]["name"],
                change["child"]["name"],
                change["change"],
                values
            ])
        })
        .collect();
    assert_eq!(
        Value::from(told),
        json!([
            ["changes", "changed", "change", ["before", "after"]],
            ["creates", "created", "create", [null, "before"]],
            ["deletes", "deleted", "delete", ["before", null]],
        ])
    );
    assert_eq!(
        changes[0]["child"],
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "namespace": stage.namespace.name,
            "name": "changed",
        })
    );
    let diff = changes[0]["diff"].as_str().unwrap();
    assert!(diff.contains("\n-  key: before\n+  key: after\n"), "{diff}");
    let parent = json!({
        "apiVersion": PUPPET.0,
        "kind": PUPPET.1,
        "namespace": stage.namespace.name,
        "name": "fails",
    });
    assert_eq!(
        whole["failures"],
        json!([{"parent": parent, "reason": "PermanentFailure", "message": "no size"}])
    );
}

#[tokio::test]
async fn a_volume_claim_that_would_be_made_is_shown_with_the_api_servers_defaults() {
    let namespace = Namespace::create(ControlPlane::shared().await, "preview-new").await;
    let mut claim = evc("a", "1024Mi");
    claim["metadata"]["labels"] = json!({"app": "db"});
    namespace.create_object(&claim).await.unwrap();
    let output = diff("evc", &namespace, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_snapshot!(redacted(&output.stdout, &namespace), @"
    --- /dev/null
    +++ PersistentVolumeClaim NAMESPACE/a (handler evc, DIGEST)
    @@ -0,0 +1,28 @@
    +apiVersion: v1
    +kind: PersistentVolumeClaim
    +metadata:
    +  annotations:
    +    volume.beta.kubernetes.io/storage-class: standard
    +  finalizers:
    +  - kubernetes.io/pvc-protection
    +  labels:
    +    app: db
    +    app.kubernetes.io/managed-by: handler-host
    +    handler-host.dev/handler: evc
    +    handler-host.dev/parent-uid: UID
    +  name: a
    +  namespace: NAMESPACE
    +  ownerReferences:
    +  - apiVersion: kopf.dev/v1
    +    blockOwnerDeletion: true
    +    controller: true
    +    kind: EphemeralVolumeClaim
    +    name: a
    +    uid: UID
    +spec:
    +  accessModes:
    +  - ReadWriteOnce
    +  resources:
    +    requests:
    +      storage: 1Gi
    +  volumeMode: Filesystem
    ");
    assert_eq!(namespace.list(PVC).await.len(), 0);
}

#[tokio::test]
async fn the_digest_of_what_was_applied_is_shown_only_if_nothing_else_would_change() {
    let mut claims = Claims::served(ControlPlane::shared().await, "preview-digest").await;
    claims.create_ready("a", "1024Mi").await;
    claims.operator.terminate().await;
    claims.resize("a", "1Gi").await;
    let output = diff("evc", &claims.namespace, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_snapshot!(redacted(&output.stdout, &claims.namespace), @r#"
    --- PersistentVolumeClaim NAMESPACE/a (live)
    +++ PersistentVolumeClaim NAMESPACE/a (handler evc, DIGEST)
    @@ -2,7 +2,7 @@
     kind: PersistentVolumeClaim
     metadata:
       annotations:
    -    handler-host.dev/applied: DIGEST
    +    handler-host.dev/applied: DIGEST
         volume.beta.kubernetes.io/storage-class: standard
       creationTimestamp: "TIME"
       finalizers:
    "#);
}

#[tokio::test]
async fn a_parent_that_goes_is_the_handlers_business_only_while_the_handler_holds_it() {
    let mut stage = Stage::set_with("preview-goes", &["--config", "finalizer=true"]).await;
    let spec = json!({"do": "apply", "children": [config_map("a", "key", "a")], "onDelete": [config_map("a", "key", "last")]});
    stage.puppet("a", &spec).await;
    stage.served("a").await;
    stage.operator.terminate().await;
    stage.namespace.delete(PUPPET, "a").await.unwrap();

    let held = diff("puppet", &stage.namespace, &["--config", "finalizer=true"]).await;
    assert!(
        held.stdout.contains("\n-  key: a\n+  key: last\n"),
        "{}",
        held.stdout
    );
    let gone = diff("puppet", &stage.namespace, &[]).await;
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(0), ""));
    assert!(gone.stderr.starts_with("0 Puppets: "), "{}", gone.stderr);

    let released = json!({"metadata": {"finalizers": null}});
    stage.namespace.merge(PUPPET, "a", &released).await.unwrap();
}

#[tokio::test]
async fn colours_are_for_terminals_and_for_those_who_ask() {
    let mut stage = Stage::set("preview-colour").await;
    stage.puppet("a", &desire_entry("a", "before")).await;
    stage.served("a").await;
    stage.operator.terminate().await;
    stage.puppet("a", &desire_entry("a", "after")).await;
    for (more, is_coloured) in [
        (&[][..], false),
        (&["--color", "never"][..], false),
        (&["--color", "always"][..], true),
    ] {
        let output = diff("puppet", &stage.namespace, more).await;
        assert_eq!(
            output.stdout.contains("\u{1b}[32m+  key: after\u{1b}[0m"),
            is_coloured
        );
        assert_eq!(output.stdout.contains('\u{1b}'), is_coloured);
        assert!(!output.stderr.contains('\u{1b}'), "{}", output.stderr);
    }
}
