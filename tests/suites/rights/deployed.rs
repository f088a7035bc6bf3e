//! The host's own account where it is deployed: what it may do, and what it may not.

use handler_host_tests::namespace::{CLAIM, PVC};
use handler_host_tests::shell::shell;
use handler_host_tests::{ControlPlane, Identity, Namespace, evc, objects};
use insta::assert_snapshot;
use kube::Client;
use serde_json::{Value, json};

/// The rows of `kubectl auth can-i --list` that not everybody has.
async fn rights(namespace: &str) -> String {
    let list = async |identity| {
        let command = format!("kubectl auth can-i --list --namespace {namespace}");
        let output = shell(&command, identity).await;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout
    };
    let everybody = list(Identity::Nobody).await;
    let own = list(Identity::Deployed).await;
    let words = |row: &str| row.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rows: Vec<_> = own.lines().map(words).collect();
    let known: Vec<_> = everybody.lines().skip(1).map(words).collect();
    rows.retain(|row| !known.contains(row));
    rows[1..].sort();
    rows.join("\n")
}

#[tokio::test]
async fn the_hosts_account_may_do_little() {
    assert_snapshot!(rights("handler-host").await, @r"
    Resources Non-Resource URLs Resource Names Verbs
    [/.well-known/openid-configuration/] [] [get]
    [/.well-known/openid-configuration] [] [get]
    [/openid/v1/jwks/] [] [get]
    [/openid/v1/jwks] [] [get]
    configmaps [] [] [get list watch]
    events.events.k8s.io [] [] [create]
    handlers.handler-host.dev [] [] [get list watch]
    handlers.handler-host.dev/status [] [] [patch]
    leases.coordination.k8s.io [] [] [get list watch create update patch]
    serviceaccounts [] [] [impersonate]
    ");
    assert_snapshot!(rights("default").await, @r"
    Resources Non-Resource URLs Resource Names Verbs
    [/.well-known/openid-configuration/] [] [get]
    [/.well-known/openid-configuration] [] [get]
    [/openid/v1/jwks/] [] [get]
    [/openid/v1/jwks] [] [get]
    events.events.k8s.io [] [] [create]
    handlers.handler-host.dev [] [] [get list watch]
    handlers.handler-host.dev/status [] [] [patch]
    ");
}

/// A request that the host's account is to be refused: method and path, body, and headers.
type Attempt = (&'static str, String, Value, Vec<(&'static str, String)>);

fn attempts(namespace: &str) -> Vec<Attempt> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let core = format!("/api/v1/namespaces/{namespace}");
    let claims = format!(
        "/apis/{}/namespaces/{namespace}/ephemeralvolumeclaims",
        CLAIM.0
    );
    let pod = objects::object(
        "v1",
        "Pod",
        "tried",
        &json!({"spec": {"containers": [{"name": "a", "image": "a"}]}}),
    );
    let volume = objects::object(
        PVC.0,
        PVC.1,
        "tried",
        &json!({"spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }}),
    );
    let map = objects::config_map("tried", "key", "a");
    let role = objects::object(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "tried",
        &json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
    );
    let binding = objects::object(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "tried",
        &json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "handler-host", "name": "handler-host"}],
        }),
    );
    let handler = objects::object(
        "handler-host.dev/v1alpha1",
        "Handler",
        "tried",
        &json!({"spec": {"module": {"path": "/a"}, "parent": {"apiVersion": "v1", "kind": "Pod"}}}),
    );
    let plain = |method, path: String, body: Value| (method, path, body, Vec::new());
    let as_somebody = |header, name: &str| {
        let user = (
            "Impersonate-User",
            "system:serviceaccount:handler-host:evc".to_owned(),
        );
        let headers = match header {
            "Impersonate-User" => vec![(header, name.to_owned())],
            _ => vec![user, (header, name.to_owned())],
        };
        ("GET", "/version".to_owned(), Value::Null, headers)
    };
    vec![
        plain("GET", "/api/v1/secrets".to_owned(), Value::Null),
        plain(
            "GET",
            "/api/v1/namespaces/handler-host/secrets".to_owned(),
            Value::Null,
        ),
        plain("GET", format!("{core}/configmaps"), Value::Null),
        plain("POST", format!("{core}/pods"), pod.clone()),
        plain(
            "POST",
            "/api/v1/namespaces/handler-host/pods".to_owned(),
            pod,
        ),
        plain("POST", format!("{core}/persistentvolumeclaims"), volume),
        plain("POST", format!("{core}/configmaps"), map.clone()),
        plain(
            "POST",
            "/api/v1/namespaces/handler-host/configmaps".to_owned(),
            map,
        ),
        plain("GET", claims.clone(), Value::Null),
        plain("POST", claims, evc("tried", "1Gi")),
        plain("POST", format!("{rbac}/clusterroles"), role),
        plain("POST", format!("{rbac}/clusterrolebindings"), binding),
        plain(
            "POST",
            "/apis/handler-host.dev/v1alpha1/handlers".to_owned(),
            handler,
        ),
        plain(
            "POST",
            "/api/v1/namespaces/handler-host/serviceaccounts".to_owned(),
            objects::object("v1", "ServiceAccount", "tried", &json!({})),
        ),
        as_somebody("Impersonate-User", "admin"),
        as_somebody(
            "Impersonate-User",
            "system:serviceaccount:kube-system:default",
        ),
        as_somebody(
            "Impersonate-User",
            &format!("system:serviceaccount:{namespace}:evc"),
        ),
        as_somebody("Impersonate-Group", "system:masters"),
        as_somebody("Impersonate-Uid", "1"),
        as_somebody("Impersonate-Extra-Scopes", "all"),
    ]
}

/// The code and message of the answer; as a dry run, since some may be allowed.
async fn tried(client: &Client, attempt: &Attempt) -> (u16, String) {
    let (method, path, body, headers) = attempt;
    let body = match body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    let path = if *method == "POST" {
        format!("{path}?dryRun=All")
    } else {
        path.clone()
    };
    let mut request = http::Request::builder()
        .method(*method)
        .uri(path)
        .header("Content-Type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    match client.request_text(request.body(body).unwrap()).await {
        Ok(_) => (200, String::new()),
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        Err(error) => panic!("{path:?}: {error}", path = attempt.1),
    }
}

#[tokio::test]
async fn what_the_hosts_account_has_no_business_with_is_refused() {
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "refused").await;
    let host = control_plane.client_as(Identity::Deployed).await;
    let mut told = Vec::new();
    for attempt in attempts(&namespace.name) {
        // Else it would be refused for another reason.
        let (code, message) = tried(&namespace.client, &attempt).await;
        assert_eq!(code, 200, "{attempt:?}: {message}");
        let (code, message) = tried(&host, &attempt).await;
        assert_eq!(code, 403, "{attempt:?}: {message}");
        let (_, cannot) = message.split_once(" cannot ").unwrap();
        told.push(cannot.replace(&namespace.name, "NAMESPACE"));
    }
    assert_snapshot!(told.join("\n"), @r#"
    list resource "secrets" in API group "" at the cluster scope
    list resource "secrets" in API group "" in the namespace "handler-host"
    list resource "configmaps" in API group "" in the namespace "NAMESPACE"
    create resource "pods" in API group "" in the namespace "NAMESPACE"
    create resource "pods" in API group "" in the namespace "handler-host"
    create resource "persistentvolumeclaims" in API group "" in the namespace "NAMESPACE"
    create resource "configmaps" in API group "" in the namespace "NAMESPACE"
    create resource "configmaps" in API group "" in the namespace "handler-host"
    list resource "ephemeralvolumeclaims" in API group "kopf.dev" in the namespace "NAMESPACE"
    create resource "ephemeralvolumeclaims" in API group "kopf.dev" in the namespace "NAMESPACE"
    create resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope
    create resource "clusterrolebindings" in API group "rbac.authorization.k8s.io" at the cluster scope
    create resource "handlers" in API group "handler-host.dev" at the cluster scope
    create resource "serviceaccounts" in API group "" in the namespace "handler-host"
    impersonate resource "users" in API group "" at the cluster scope
    impersonate resource "serviceaccounts" in API group "" in the namespace "kube-system"
    impersonate resource "serviceaccounts" in API group "" in the namespace "NAMESPACE"
    impersonate resource "groups" in API group "" at the cluster scope
    impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope
    impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope
    "#);
}

#[tokio::test]
async fn the_hosts_account_may_act_as_the_accounts_beside_it() {
    let host = ControlPlane::shared()
        .await
        .client_as(Identity::Deployed)
        .await;
    let user = "system:serviceaccount:handler-host:evc".to_owned();
    let attempt = (
        "GET",
        "/version".to_owned(),
        Value::Null,
        vec![("Impersonate-User", user)],
    );
    assert_eq!(tried(&host, &attempt).await.0, 200);
}
