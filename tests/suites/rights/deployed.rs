//! The service account of the deployed host: what it may do, and what it may not do.

use handler_host_tests::control_plane::shell;
use handler_host_tests::deployment::deployed;
use handler_host_tests::objects::kinds::{CLAIM, HANDLER, PVC};
use handler_host_tests::objects::{config_map, object};
use handler_host_tests::{ControlPlane, Namespace, TestAccount, evc};
use insta::assert_snapshot;
use kube::Client;
use serde_json::{Value, json};

/// The rows of `kubectl auth can-i --list` that a user without rights does not have.
async fn rights(namespace: &str) -> String {
    let list = async |account| {
        let command = format!("kubectl auth can-i --list --namespace {namespace}");
        let output = shell(&command, account).await;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout
    };
    let common = list(TestAccount::Nobody).await;
    let own = list(TestAccount::Deployed).await;
    let words = |row: &str| row.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rows: Vec<_> = own.lines().map(words).collect();
    let known: Vec<_> = common.lines().skip(1).map(words).collect();
    rows.retain(|row| !known.contains(row));
    rows[1..].sort();
    rows.join("\n")
}

#[tokio::test]
async fn the_hosts_account_may_do_little() {
    deployed().await;
    assert_snapshot!(rights("handler-host").await, @r"
    Resources Non-Resource URLs Resource Names Verbs
    [/.well-known/openid-configuration/] [] [get]
    [/.well-known/openid-configuration] [] [get]
    [/openid/v1/jwks/] [] [get]
    [/openid/v1/jwks] [] [get]
    configmaps [] [] [get list watch]
    events.events.k8s.io [] [] [create]
    handlers.handler-host.dev [] [] [get list watch patch]
    handlers.handler-host.dev/status [] [] [patch]
    leases.coordination.k8s.io [] [] [create]
    leases.coordination.k8s.io [] [handler-host] [get list watch update]
    ");
    assert_snapshot!(rights("default").await, @r"
    Resources Non-Resource URLs Resource Names Verbs
    [/.well-known/openid-configuration/] [] [get]
    [/.well-known/openid-configuration] [] [get]
    [/openid/v1/jwks/] [] [get]
    [/openid/v1/jwks] [] [get]
    events.events.k8s.io [] [] [create]
    handlers.handler-host.dev [] [] [get list watch patch]
    handlers.handler-host.dev/status [] [] [patch]
    ");
}

/// A request that the API server must refuse to the host's account: method, path, body, and headers.
type Attempt = (&'static str, String, Value, Vec<(&'static str, String)>);

fn plain(method: &'static str, path: impl Into<String>, body: Value) -> Attempt {
    (method, path.into(), body, Vec::new())
}

fn reads(namespace: &str) -> Vec<Attempt> {
    let core = format!("/api/v1/namespaces/{namespace}");
    let paths = [
        "/api/v1/secrets".to_owned(),
        "/api/v1/namespaces/handler-host/secrets".to_owned(),
        format!("{core}/configmaps"),
        format!("{core}/persistentvolumeclaims"),
        format!("/apis/{}/ephemeralvolumeclaims", CLAIM.0),
    ];
    paths.map(|path| plain("GET", path, Value::Null)).into()
}

fn writes(namespace: &str) -> Vec<Attempt> {
    let core = format!("/api/v1/namespaces/{namespace}");
    let claims = format!(
        "/apis/{}/namespaces/{namespace}/ephemeralvolumeclaims",
        CLAIM.0
    );
    let spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    });
    let volume = object(PVC.0, PVC.1, "tried", &json!({"spec": spec}));
    let map = config_map("tried", "key", "a");
    // The namespace of the host admits only Pods with these settings.
    let restricted = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let container = json!({"name": "a", "image": "a", "securityContext": restricted});
    let pod = json!({"spec": {"containers": [container]}});
    let pod = object("v1", "Pod", "tried", &pod);
    let handler = json!({
        "module": {"path": "/a"},
        "parent": {"apiVersion": "v1", "kind": "Pod"},
    });
    let handler = object(HANDLER.0, HANDLER.1, "tried", &json!({"spec": handler}));
    let own = "/api/v1/namespaces/handler-host";
    vec![
        plain("POST", format!("{core}/persistentvolumeclaims"), volume),
        plain("POST", format!("{core}/configmaps"), map.clone()),
        plain("POST", format!("{own}/configmaps"), map),
        plain("POST", claims, evc("tried", "1Gi")),
        plain("POST", format!("{core}/pods"), pod.clone()),
        plain("POST", format!("{own}/pods"), pod),
        plain("POST", format!("/apis/{}/handlers", HANDLER.0), handler),
    ]
}

/// Requests that would give the account more rights.
fn rights_for_itself() -> Vec<Attempt> {
    let rbac = "rbac.authorization.k8s.io";
    let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let binding = json!({
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{
            "kind": "ServiceAccount", "namespace": "handler-host", "name": "handler-host",
        }],
    });
    let version = format!("{rbac}/v1");
    let (all, own) = (
        format!("/apis/{version}"),
        format!("/apis/{version}/namespaces/handler-host"),
    );
    let role = |kind| object(&version, kind, "tried", &json!({"rules": rules}));
    let bound = |kind| object(&version, kind, "tried", &binding);
    let account = object("v1", "ServiceAccount", "tried", &json!({}));
    let accounts = "/api/v1/namespaces/handler-host/serviceaccounts";
    vec![
        plain("POST", format!("{all}/clusterroles"), role("ClusterRole")),
        plain("POST", format!("{own}/roles"), role("Role")),
        plain(
            "POST",
            format!("{all}/clusterrolebindings"),
            bound("ClusterRoleBinding"),
        ),
        plain("POST", format!("{own}/rolebindings"), bound("RoleBinding")),
        plain("POST", accounts, account),
    ]
}

fn impersonations(namespace: &str) -> Vec<Attempt> {
    let as_user = |user: &str, more: &[(&'static str, &str)]| {
        let mut headers = vec![("Impersonate-User", user.to_owned())];
        headers.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        ("GET", "/version".to_owned(), Value::Null, headers)
    };
    let beside = "system:serviceaccount:handler-host:evc";
    vec![
        as_user("admin", &[]),
        as_user("system:serviceaccount:kube-system:default", &[]),
        as_user(&format!("system:serviceaccount:{namespace}:evc"), &[]),
        as_user(beside, &[]),
        as_user(beside, &[("Impersonate-Group", "system:masters")]),
    ]
}

/// Sends a request as a dry run, because it may be allowed. Returns the status code and the message.
async fn tried(client: &Client, attempt: &Attempt) -> (u16, String) {
    let (method, path, body, headers) = attempt;
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
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
    deployed().await;
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "refused").await;
    let host = control_plane.client_as(TestAccount::Deployed).await;
    let mut told = Vec::new();
    let name = &namespace.name;
    let attempts = [reads(name), writes(name), rights_for_itself()];
    for attempt in impersonations(name) {
        // What the message names depends on the roles that other tests make.
        let (code, message) = tried(&host, &attempt).await;
        assert_eq!(code, 403, "{attempt:?}: {message}");
    }
    for attempt in attempts.concat() {
        // The administrator's request must succeed; otherwise the host's may be refused for another reason.
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
    list resource "persistentvolumeclaims" in API group "" in the namespace "NAMESPACE"
    list resource "ephemeralvolumeclaims" in API group "kopf.dev" at the cluster scope
    create resource "persistentvolumeclaims" in API group "" in the namespace "NAMESPACE"
    create resource "configmaps" in API group "" in the namespace "NAMESPACE"
    create resource "configmaps" in API group "" in the namespace "handler-host"
    create resource "ephemeralvolumeclaims" in API group "kopf.dev" in the namespace "NAMESPACE"
    create resource "pods" in API group "" in the namespace "NAMESPACE"
    create resource "pods" in API group "" in the namespace "handler-host"
    create resource "handlers" in API group "handler-host.dev" at the cluster scope
    create resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope
    create resource "roles" in API group "rbac.authorization.k8s.io" in the namespace "handler-host"
    create resource "clusterrolebindings" in API group "rbac.authorization.k8s.io" at the cluster scope
    create resource "rolebindings" in API group "rbac.authorization.k8s.io" in the namespace "handler-host"
    create resource "serviceaccounts" in API group "" in the namespace "handler-host"
    "#);
}
