//! What `rbac` prints, and its error messages.

use handler_host_tests::control_plane::shell;
use handler_host_tests::{TestAccount, paths};
use insta::assert_snapshot;
use serde_json::Value;

fn guest(name: &str) -> String {
    paths::guest(name).unwrap().display().to_string()
}

/// Runs `handler-host rbac` against the shared control plane. Returns the exit code, standard output and standard error.
async fn rbac(arguments: &str) -> (Option<i32>, String, String) {
    let output = shell(
        &format!("handler-host rbac {arguments}"),
        TestAccount::Admin,
    )
    .await;
    let hidden = |text: &str| {
        text.replace(&guest("evc"), "evc.wasm")
            .replace(&guest("puppet"), "puppet.wasm")
    };
    (output.code, hidden(&output.stdout), hidden(&output.stderr))
}

#[tokio::test]
async fn a_module_gets_a_cluster_role_for_its_account() {
    let arguments = format!(
        "--module {} --name evc --service-account team-a/evc",
        guest("evc")
    );
    let (code, printed, told) = rbac(&arguments).await;
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert_snapshot!("a_module", printed);
}

/// One line for each object: its kind, namespace and name, its rules, and its subjects.
fn lines(printed: &str) -> String {
    let list: Value = serde_json::from_str(printed).unwrap();
    let words = |value: &Value| {
        let words = value.as_array().unwrap().iter();
        words
            .map(|it| it.as_str().unwrap())
            .collect::<Vec<_>>()
            .join(",")
    };
    let line = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or("*").to_owned();
        let metadata = &object["metadata"];
        let mut line = vec![
            text(&object["kind"]),
            text(&metadata["namespace"]),
            text(&metadata["name"]),
        ];
        for rule in object["rules"].as_array().into_iter().flatten() {
            line.push(format!(
                "{} {};",
                words(&rule["resources"]),
                words(&rule["verbs"])
            ));
        }
        for subject in object["subjects"].as_array().into_iter().flatten() {
            line.push(format!(
                "{} {}",
                text(&subject["kind"]),
                text(&subject["name"])
            ));
        }
        line.join(" ")
    };
    let objects = list["items"].as_array().unwrap().iter();
    objects.map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn with_namespaces_there_is_a_role_in_each_and_without_an_account_the_hosts_is_bound() {
    let arguments = format!(
        "--output json --module {} --config finalizer=true --on-parent-delete orphan --namespace a --namespace b --host-account jane",
        guest("puppet")
    );
    let (code, printed, told) = rbac(&arguments).await;
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert_snapshot!(lines(&printed), @r"
    Role a handler-host:puppet puppets list,watch,patch; puppets/status patch; configmaps,persistentvolumeclaims get,list,watch,create,patch,delete;
    RoleBinding a handler-host:puppet User jane
    Role b handler-host:puppet puppets list,watch,patch; puppets/status patch; configmaps,persistentvolumeclaims get,list,watch,create,patch,delete;
    RoleBinding b handler-host:puppet User jane
    ");
}

#[tokio::test]
async fn what_is_guessed_is_told() {
    let arguments = format!(
        "--guess --output json --module {} --service-account a/b",
        guest("evc")
    );
    let (code, printed, told) = rbac(&arguments).await;
    assert_eq!(code, Some(0));
    assert_snapshot!(lines(&printed), @r"
    ServiceAccount a b
    ClusterRole * handler-host:evc ephemeralvolumeclaims list,watch; ephemeralvolumeclaims/status patch; ephemeralvolumeclaims/finalizers update; persistentvolumeclaims get,list,watch,create,patch,delete;
    ClusterRoleBinding * handler-host:evc ServiceAccount b
    Role a handler-host:impersonate:b serviceaccounts impersonate;
    RoleBinding a handler-host:impersonate:b ServiceAccount handler-host
    ");
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
