//! A namespace of Puppets, and the operator that serves only this namespace.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::isolated::Namespace;
use crate::accounts::TestAccount;
use crate::audit::{AuditEntries, Mark};
use crate::control_plane::ControlPlane;
use crate::objects::kinds::{CONFIG_MAP, EVENT, PUPPET, ResourceKind};
use crate::objects::{condition, object, puppet, text};
use crate::operator::{Operator, time_of};
use crate::paths;
use crate::wait::{DEADLINE, eventually};

/// The log holds the lines of the host itself, and one line for each call of the handler.
const LOG: &str = "info,kube_client=off,kube_runtime=off,handler_host_cluster=debug";
const CALL: &str = "calling the handler";

/// A namespace of Puppets and the operator that serves it. A method that waits panics after [`DEADLINE`].
pub struct PuppetNamespace {
    /// The operator. It stands before the namespace, so that it is dropped, and so ended, before the namespace is.
    pub operator: Operator,
    /// The namespace of the Puppets.
    pub namespace: Namespace,
    control_plane: &'static ControlPlane,
}

impl PuppetNamespace {
    /// A new namespace whose name begins with the prefix, and an operator that serves it.
    pub async fn serve(prefix: &str) -> Self {
        Self::serve_with(prefix, &[]).await
    }

    /// As [`serve`](Self::serve), with more arguments for the operator.
    pub async fn serve_with(prefix: &str, arguments: &[&str]) -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = Namespace::create(control_plane, prefix).await;
        Self {
            operator: start(control_plane, &namespace, arguments).await,
            namespace,
            control_plane,
        }
    }

    /// A new namespace whose name begins with the prefix, and an operator whose handler may return these kinds of children.
    /// The host may do everything in the namespace.
    pub async fn serve_kinds(prefix: &str, kinds: &[ResourceKind]) -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = Namespace::create(control_plane, prefix).await;
        let (rbac, group) = ("rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io");
        let role = json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
        let binding = json!({
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "all"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": TestAccount::Host.user()}],
        });
        for object in [
            object(rbac, "Role", "all", &role),
            object(rbac, "RoleBinding", "all", &binding),
        ] {
            let applied = namespace.apply(&object).await;
            applied.unwrap_or_else(|error| panic!("{object:#}: {error}"));
        }
        Self {
            operator: start(control_plane, &namespace, &config_of(kinds)).await,
            namespace,
            control_plane,
        }
    }

    /// Ends the operator, and starts another one without further arguments.
    pub async fn restart(&mut self) {
        self.operator.terminate().await;
        self.operator = start(self.control_plane, &self.namespace, &[""; 0]).await;
    }

    /// Ends the operator, and starts another one whose handler may return these kinds of children.
    pub async fn restart_kinds(&mut self, kinds: &[ResourceKind]) {
        self.operator.terminate().await;
        self.operator = start(self.control_plane, &self.namespace, &config_of(kinds)).await;
    }

    /// Starts a second operator in the same namespace.
    pub async fn another(&self, arguments: &[&str]) -> Operator {
        start(self.control_plane, &self.namespace, arguments).await
    }

    /// Applies a Puppet with this spec.
    pub async fn apply(&self, name: &str, spec: &Value) -> Value {
        let puppet = puppet(name, spec.clone());
        let applied = self.namespace.apply(&puppet).await;
        applied.unwrap_or_else(|error| panic!("Puppet {name}: {error}"))
    }

    /// Waits until the condition `Ready` of a Puppet has this status and reason. Returns its message.
    pub async fn outcome(&self, name: &str, status: &str, reason: &str) -> String {
        let puppet = self
            .namespace
            .wait_for_ready(PUPPET, name, status, reason, DEADLINE);
        let puppet = puppet.await;
        let ready = condition(&puppet, "Ready").unwrap_or(&Value::Null);
        text(&ready["message"])
    }

    /// Waits until a Puppet is ready in its present generation.
    pub async fn served(&self, name: &str) -> Value {
        self.namespace
            .wait_for(PUPPET, name, "served as it is now", DEADLINE, |puppet| {
                condition(puppet, "Ready").is_some_and(|ready| {
                    ready["observedGeneration"] == puppet["metadata"]["generation"]
                        && ready["reason"] == "Reconciled"
                })
            })
            .await
    }

    /// A ConfigMap, or `None` when it does not exist.
    pub async fn config_map(&self, name: &str) -> Option<Value> {
        self.namespace.get(CONFIG_MAP, name).await
    }

    /// Waits until the entry `key` of a ConfigMap has this value.
    pub async fn entry(&self, name: &str, value: &str) -> Value {
        let what = format!("its entry is {value}");
        self.namespace
            .wait_for(CONFIG_MAP, name, &what, DEADLINE, |found| {
                found["data"]["key"] == value
            })
            .await
    }

    /// The resource version of a ConfigMap. Panics if it does not exist.
    pub async fn version(&self, name: &str) -> String {
        match self.config_map(name).await {
            Some(found) => text(&found["metadata"]["resourceVersion"]),
            None => panic!("there is no ConfigMap {name}"),
        }
    }

    /// When the handler was called for a Puppet, by the log of the operator.
    pub fn calls(&self, name: &str) -> Vec<Timestamp> {
        let object = format!("object={}/{name}", self.namespace.name);
        let lines = self.operator.lines_with(CALL);
        let of_puppet = lines.iter().filter(|line| line.ends_with(&object));
        of_puppet.map(|line| time_of(line)).collect()
    }

    /// Waits until the handler was called at least `count` times for a Puppet. Returns when it was called.
    pub async fn wait_for_calls(&self, name: &str, count: usize) -> Vec<Timestamp> {
        let what = format!("{count} calls for {name}");
        eventually(&what, DEADLINE, async || {
            let calls = self.calls(name);
            if calls.len() >= count {
                Ok(calls)
            } else {
                Err(format!("{calls:?}\n{}", self.operator.log()))
            }
        })
        .await
    }

    /// Waits while the handler is called for another Puppet again and again, for some three seconds. That is longer
    /// than the first two backoffs of the host, so a call or a write that must not come would have come by then.
    pub async fn while_others_are_called(&self) {
        let spec = json!({"do": "apply", "requeueAfterMs": 1000});
        self.apply("witness", &spec).await;
        let before = self.wait_for_calls("witness", 1).await.len();
        self.wait_for_calls("witness", before + 3).await;
    }

    /// The present end of the audit log.
    pub fn mark(&self) -> Mark {
        self.control_plane.audit().mark()
    }

    /// The requests of the host in this namespace since a mark.
    pub async fn requests(&self, since: &Mark) -> AuditEntries {
        let all = self.control_plane.audit_since(since).await;
        all.by(TestAccount::Host.user())
            .in_namespace(&self.namespace.name)
    }

    /// The requests of the host that write children in this namespace since a mark.
    pub async fn child_writes(&self, since: &Mark) -> AuditEntries {
        let children = ["configmaps", "persistentvolumeclaims"];
        let writes = self.requests(since).await.writes();
        writes.only(|entry| children.contains(&entry.resource.as_str()))
    }

    /// The Events on a Puppet, as `type reason: note`, the oldest first.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let events = self.namespace.list(EVENT).await;
        let mut of_puppet: Vec<_> = events
            .iter()
            .filter(|event| event["regarding"]["name"] == name)
            .collect();
        of_puppet.sort_by_key(|event| text(&event["eventTime"]));
        of_puppet
            .iter()
            .map(|event| {
                let part = |field: &str| text(&event[field]);
                format!("{} {}: {}", part("type"), part("reason"), part("note"))
            })
            .collect()
    }

    /// Waits until a Puppet has at least `count` Events. Returns all Events on it.
    pub async fn wait_for_events(&self, name: &str, count: usize) -> Vec<String> {
        eventually(&format!("{count} Events on {name}"), DEADLINE, async || {
            let events = self.events(name).await;
            if events.len() >= count {
                Ok(events)
            } else {
                Err(format!("{events:?}"))
            }
        })
        .await
    }
}

/// The arguments for a handler that may return these kinds of children.
fn config_of(kinds: &[ResourceKind]) -> Vec<String> {
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(api_version, kind)| json!({"apiVersion": api_version, "kind": kind}))
        .collect();
    let field = format!("children={}", Value::from(kinds));
    vec!["--config".to_owned(), field]
}

async fn start(
    control_plane: &ControlPlane,
    namespace: &Namespace,
    arguments: &[impl AsRef<str>],
) -> Operator {
    let module = paths::guest("puppet").unwrap_or_else(|error| panic!("{error:#}"));
    let options = Operator::of(control_plane, TestAccount::Host)
        .module(module)
        .namespace(&namespace.name)
        .env("RUST_LOG", LOG);
    let options = arguments
        .iter()
        .fold(options, |options, argument| options.arg(argument.as_ref()));
    let mut operator = options.start();
    operator.wait_for_line("serving", DEADLINE).await;
    operator
}
