//! What `rbac` prints, and how it refuses.

use handler_host_tests::shell::shell;
use handler_host_tests::{Identity, paths};
use insta::assert_snapshot;

fn guest(name: &str) -> String {
    paths::guest(name).unwrap().display().to_string()
}

/// Runs `handler-host rbac` against the shared control plane; gives both outputs.
async fn rbac(arguments: &str) -> (Option<i32>, String, String) {
    let output = shell(&format!("handler-host rbac {arguments}"), Identity::Admin).await;
    let hidden = |text: &str| {
        text.replace(&guest("evc"), "evc.wasm")
            .replace(&guest("puppet"), "puppet.wasm")
    };
    (output.code, hidden(&output.stdout), hidden(&output.stderr))
}

#[tokio::test]
async fn a_module_gets_a_cluster_role_for_its_account() {
    let arguments = format!("--module {} --service-account team-a/evc", guest("evc"));
    let (code, printed, told) = rbac(&arguments).await;
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert_snapshot!(printed, @r#"
    apiVersion: v1
    kind: ServiceAccount
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: evc
      namespace: team-a
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: handler-host:evc
    rules:
    - apiGroups:
      - kopf.dev
      resources:
      - ephemeralvolumeclaims
      verbs:
      - list
      - watch
    - apiGroups:
      - kopf.dev
      resources:
      - ephemeralvolumeclaims/status
      verbs:
      - patch
    - apiGroups:
      - kopf.dev
      resources:
      - ephemeralvolumeclaims/finalizers
      verbs:
      - update
    - apiGroups:
      - ""
      resources:
      - persistentvolumeclaims
      verbs:
      - get
      - list
      - watch
      - create
      - patch
      - delete
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: handler-host:evc
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: ClusterRole
      name: handler-host:evc
    subjects:
    - kind: ServiceAccount
      name: evc
      namespace: team-a
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: handler-host:impersonate:evc
      namespace: team-a
    rules:
    - apiGroups:
      - ""
      resourceNames:
      - evc
      resources:
      - serviceaccounts
      verbs:
      - impersonate
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: handler-host:impersonate:evc
      namespace: team-a
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: Role
      name: handler-host:impersonate:evc
    subjects:
    - kind: ServiceAccount
      name: handler-host
      namespace: handler-host
    "#);
}

#[tokio::test]
async fn with_namespaces_there_is_a_role_in_each_and_without_an_account_the_hosts_is_bound() {
    let arguments = format!(
        "--module {} --config finalizer=true --on-parent-delete orphan --namespace a --namespace b --host-account jane",
        guest("puppet")
    );
    let (code, printed, told) = rbac(&arguments).await;
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert_snapshot!(printed, @r#"
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: handler-host:puppet
      namespace: a
    rules:
    - apiGroups:
      - tests.handler-host.dev
      resources:
      - puppets
      verbs:
      - list
      - watch
      - patch
    - apiGroups:
      - tests.handler-host.dev
      resources:
      - puppets/status
      verbs:
      - patch
    - apiGroups:
      - ""
      resources:
      - configmaps
      - persistentvolumeclaims
      verbs:
      - get
      - list
      - watch
      - create
      - patch
      - delete
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: handler-host:puppet
      namespace: a
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: Role
      name: handler-host:puppet
    subjects:
    - apiGroup: rbac.authorization.k8s.io
      kind: User
      name: jane
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: handler-host:puppet
      namespace: b
    rules:
    - apiGroups:
      - tests.handler-host.dev
      resources:
      - puppets
      verbs:
      - list
      - watch
      - patch
    - apiGroups:
      - tests.handler-host.dev
      resources:
      - puppets/status
      verbs:
      - patch
    - apiGroups:
      - ""
      resources:
      - configmaps
      - persistentvolumeclaims
      verbs:
      - get
      - list
      - watch
      - create
      - patch
      - delete
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata:
      labels:
        app.kubernetes.io/part-of: handler-host
      name: handler-host:puppet
      namespace: b
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: Role
      name: handler-host:puppet
    subjects:
    - apiGroup: rbac.authorization.k8s.io
      kind: User
      name: jane
    "#);
}

#[tokio::test]
async fn what_is_guessed_is_told() {
    let arguments = format!(
        "--guess --output json --module {} --service-account a/b",
        guest("evc")
    );
    let (code, printed, told) = rbac(&arguments).await;
    assert_eq!(code, Some(0));
    let list: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let kinds: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Role",
            "RoleBinding"
        ]
    );
    assert_snapshot!(told, @r"
    guessed that kinds are served as ephemeralvolumeclaims.kopf.dev, persistentvolumeclaims, and that parents have a status subresource
    ");
}

#[tokio::test]
async fn what_cannot_be_printed_is_refused_with_a_remedy() {
    let evc = guest("evc");
    let unserved =
        "--module PUPPET --config 'parent={apiVersion: nobody.example/v1, kind: Nothing}'"
            .replace("PUPPET", &guest("puppet"));
    let cases = [
        unserved,
        "--handler nobody".to_owned(),
        "--handler nobody --guess".to_owned(),
        format!("--module {evc} --kubeconfig /nowhere"),
        format!("--module {evc} --service-account evc"),
        format!("--module {evc} --service-account Team/evc"),
        format!("--module {evc} --host-account /evc"),
        String::new(),
    ];
    let mut told = Vec::new();
    for case in cases {
        let (code, printed, complaint) = rbac(&case).await;
        assert_eq!(printed, "", "{case}");
        let first = complaint.lines().next().unwrap_or_default();
        told.push(format!("{} {first}", code.unwrap()));
    }
    assert_snapshot!(told.join("\n"), @r#"
    1 error: the API server does not serve nobody.example/v1 Nothing; apply its CustomResourceDefinition, or add --guess to ask no cluster
    1 error: there is no Handler nobody in the cluster; `kubectl get handlers` lists them, or name a file
    1 error: --guess asks no cluster, so Handler nobody cannot be read; name a file of it
    1 error: kubeconfig /nowhere: No such file or directory (os error 2); set --kubeconfig or KUBECONFIG to a file that `kubectl` can use; or add --guess to ask no cluster
    2 error: invalid value 'evc' for '--service-account <NAMESPACE/NAME>': it has no slash; write it as NAMESPACE/NAME, such as team-a/evc
    2 error: invalid value 'Team/evc' for '--service-account <NAMESPACE/NAME>': namespace "Team" is not a DNS label of at most 63 characters; use a-z, 0-9 and `-`, such as team-a
    2 error: invalid value '/evc' for '--host-account <NAMESPACE/NAME|USER>': namespace "" is not a DNS label of at most 63 characters; use a-z, 0-9 and `-`, such as team-a
    2 error: the following required arguments were not provided:
    "#);
}
