//! `handler-host diff` shows what a module would change.

use handler_host_tests::guests::puppets::{desire, desire_entry};
use handler_host_tests::namespace::preview::{diff, redacted, versions};
use handler_host_tests::objects::config_map;
use handler_host_tests::objects::kinds::{CONFIG_MAP, PUPPET, PVC};
use handler_host_tests::{
    AuditEntries, ControlPlane, Mark, Namespace, PuppetNamespace, TestAccount, VolumeClaims, evc,
};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// The requests of previews as the account of the host since a mark. The operator, which has the same account, must
/// have ended before.
async fn requests(mark: &Mark, namespace: &Namespace) -> AuditEntries {
    let all = ControlPlane::shared().await.audit_since(mark).await;
    all.by(TestAccount::Host.user())
        .in_namespace(&namespace.name)
}

#[tokio::test]
async fn a_module_that_changes_nothing_says_so_and_sends_no_dry_run() {
    let mut puppets = PuppetNamespace::serve("preview-same").await;
    // The API server writes this size in another form.
    let mut volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "a"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
    });
    let children = [config_map("a", "key", "a"), volume.take()];
    puppets.apply("a", &desire(&children)).await;
    puppets.served("a").await;
    puppets.operator.terminate().await;

    let mark = puppets.mark();
    let output = diff("puppet", &puppets.namespace, &[]).await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""));
    assert_snapshot!(redacted(&output.stderr, &puppets.namespace), @"1 Puppet: 0 children change, 0 are created, 0 are deleted, 0 Puppets newly fail (SECONDS s)");
    let requests = requests(&mark, &puppets.namespace).await;
    assert_eq!(
        requests.verb("list").count(),
        requests.count(),
        "{requests}"
    );
}

/// A namespace of Puppets whose specs changed after their operator had ended.
async fn changed_puppets(prefix: &str) -> PuppetNamespace {
    let mut puppets = PuppetNamespace::serve(prefix).await;
    let child = |name: &str| config_map(name, "key", "before");
    puppets.apply("changes", &desire(&[child("changed")])).await;
    puppets.apply("creates", &desire(&[child("kept")])).await;
    puppets.apply("deletes", &desire(&[child("deleted")])).await;
    puppets.apply("fails", &desire(&[child("stays")])).await;
    puppets.apply("stays", &desire(&[child("same")])).await;
    let failure = json!({"do": "permanent", "message": "no size"});
    puppets.apply("fails-already", &failure).await;
    for name in ["changes", "creates", "deletes", "fails", "stays"] {
        puppets.served(name).await;
    }
    puppets
        .outcome("fails-already", "False", "PermanentFailure")
        .await;
    puppets.operator.terminate().await;

    let theirs = config_map("changed", "theirs", "kept");
    puppets.namespace.apply(&theirs).await.unwrap();
    let changed = config_map("changed", "key", "after");
    puppets.apply("changes", &desire(&[changed])).await;
    let both = [child("kept"), child("created")];
    puppets.apply("creates", &desire(&both)).await;
    puppets.apply("deletes", &desire(&[])).await;
    puppets.apply("fails", &failure).await;
    puppets
}

#[tokio::test]
async fn what_would_change_is_shown_child_by_child() {
    let puppets = changed_puppets("preview-diff").await;
    let output = diff("puppet", &puppets.namespace, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_snapshot!(redacted(&output.stdout, &puppets.namespace), @r#"
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
    let puppets = changed_puppets("preview-reads").await;
    let before = versions(&puppets.namespace, &[PUPPET, CONFIG_MAP]).await;
    let mark = puppets.mark();
    let output = diff("puppet", &puppets.namespace, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);

    let requests = requests(&mark, &puppets.namespace).await;
    assert_eq!(requests.writes().count(), 0, "{requests}");
    assert_eq!(requests.dry_runs().count(), 3, "{requests}");
    let others = requests.only(|entry| !entry.is_dry_run() && entry.verb != "list");
    assert_eq!(others.count(), 0, "{requests}");
    assert_eq!(
        versions(&puppets.namespace, &[PUPPET, CONFIG_MAP]).await,
        before
    );
    assert_snapshot!(redacted(&output.stderr, &puppets.namespace), @"6 Puppets: 1 child changes, 1 is created, 1 is deleted, 1 Puppet newly fails, 1 fails already (SECONDS s)");
    // A second run prints the same, because the order depends only on the objects.
    let again = diff("puppet", &puppets.namespace, &[]).await;
    assert_eq!(again.stdout, output.stdout);
}

#[tokio::test]
async fn what_would_change_can_be_had_as_json() {
    let puppets = changed_puppets("preview-json").await;
    let output = diff("puppet", &puppets.namespace, &["--output", "json"]).await;
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
            "namespace": puppets.namespace.name,
            "name": "changed",
        })
    );
    let diff = changes[0]["diff"].as_str().unwrap();
    assert!(diff.contains("\n-  key: before\n+  key: after\n"), "{diff}");
    let parent = json!({
        "apiVersion": PUPPET.0,
        "kind": PUPPET.1,
        "namespace": puppets.namespace.name,
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
    namespace.create_object(&evc("a", "1024Mi")).await.unwrap();
    let output = diff("evc", &namespace, &[]).await;
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert_snapshot!(redacted(&output.stdout, &namespace), @"
    --- /dev/null
    +++ PersistentVolumeClaim NAMESPACE/a (handler evc, DIGEST)
    @@ -0,0 +1,27 @@
    +apiVersion: v1
    +kind: PersistentVolumeClaim
    +metadata:
    +  annotations:
    +    volume.beta.kubernetes.io/storage-class: standard
    +  finalizers:
    +  - kubernetes.io/pvc-protection
    +  labels:
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
    let mut claims = VolumeClaims::served(ControlPlane::shared().await, "preview-digest").await;
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
    let mut puppets =
        PuppetNamespace::serve_with("preview-goes", &["--config", "finalizer=true"]).await;
    let spec = json!({"do": "apply", "children": [config_map("a", "key", "a")], "onDelete": [config_map("a", "key", "last")]});
    puppets.apply("a", &spec).await;
    puppets.served("a").await;
    puppets.operator.terminate().await;
    puppets.namespace.delete(PUPPET, "a").await.unwrap();

    let held = diff(
        "puppet",
        &puppets.namespace,
        &["--config", "finalizer=true"],
    )
    .await;
    assert!(
        held.stdout.contains("\n-  key: a\n+  key: last\n"),
        "{}",
        held.stdout
    );
    let gone = diff("puppet", &puppets.namespace, &[]).await;
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(0), ""));
    assert!(gone.stderr.starts_with("0 Puppets: "), "{}", gone.stderr);

    let released = json!({"metadata": {"finalizers": null}});
    puppets
        .namespace
        .merge(PUPPET, "a", &released)
        .await
        .unwrap();
}

#[tokio::test]
async fn colours_are_for_terminals_and_for_those_who_ask() {
    let mut puppets = PuppetNamespace::serve("preview-colour").await;
    puppets.apply("a", &desire_entry("a", "before")).await;
    puppets.served("a").await;
    puppets.operator.terminate().await;
    puppets.apply("a", &desire_entry("a", "after")).await;
    for (more, is_coloured) in [
        (&[][..], false),
        (&["--color", "never"][..], false),
        (&["--color", "always"][..], true),
    ] {
        let output = diff("puppet", &puppets.namespace, more).await;
        assert_eq!(
            output.stdout.contains("\u{1b}[32m+  key: after\u{1b}[0m"),
            is_coloured
        );
        assert_eq!(output.stdout.contains('\u{1b}'), is_coloured);
        assert!(!output.stderr.contains('\u{1b}'), "{}", output.stderr);
    }
}
