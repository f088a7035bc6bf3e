//! Where most suites play: a namespace, and an operator of puppets that serves only it.

use std::time::Duration;

use handler_host_tests::namespace::{CONFIG_MAP, EVENT, PUPPET};
use handler_host_tests::objects::{condition, config_map};
use handler_host_tests::{
    ControlPlane, Entries, Identity, Mark, Namespace, Operator, eventually, paths, puppet,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The host's own lines, and one for each call of the handler.
const LOG: &str = "info,kube_client=off,kube_runtime=off,handler_host_cluster=debug";
const CALL: &str = "calling the handler";

pub(crate) struct Stage {
    // Before the namespace, so that it has ended when that goes.
    pub(crate) operator: Operator,
    pub(crate) namespace: Namespace,
    control_plane: &'static ControlPlane,
}

impl Stage {
    pub(crate) async fn set(prefix: &str) -> Self {
        Self::set_with(prefix, &[]).await
    }

    /// With further arguments for the operator.
    pub(crate) async fn set_with(prefix: &str, arguments: &[&str]) -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = Namespace::create(control_plane, prefix).await;
        Self {
            operator: start(control_plane, &namespace, arguments).await,
            namespace,
            control_plane,
        }
    }

    /// Ends the operator and starts another over what it left.
    pub(crate) async fn restart(&mut self) {
        self.operator.terminate().await;
        self.operator = start(self.control_plane, &self.namespace, &[]).await;
    }

    /// A second operator beside the stage's own, in the same namespace.
    pub(crate) async fn another(&self, arguments: &[&str]) -> Operator {
        start(self.control_plane, &self.namespace, arguments).await
    }

    /// Makes a puppet, or has it do something else.
    pub(crate) async fn puppet(&self, name: &str, spec: &Value) -> Value {
        let puppet = puppet(name, spec.clone());
        self.namespace.apply(&puppet).await.unwrap()
    }

    /// Waits for a puppet's `Ready`; returns its message.
    pub(crate) async fn outcome(&self, name: &str, status: &str, reason: &str) -> String {
        let puppet = self
            .namespace
            .wait_for_ready(PUPPET, name, status, reason, DEADLINE);
        text(&condition(&puppet.await, "Ready").unwrap()["message"])
    }

    /// Waits until a puppet's present generation was served.
    pub(crate) async fn served(&self, name: &str) -> Value {
        self.namespace
            .wait_for(PUPPET, name, "served as it is now", DEADLINE, |puppet| {
                condition(puppet, "Ready").is_some_and(|ready| {
                    ready["observedGeneration"] == puppet["metadata"]["generation"]
                        && ready["reason"] == "Reconciled"
                })
            })
            .await
    }

    pub(crate) async fn config_map(&self, name: &str) -> Option<Value> {
        self.namespace.get(CONFIG_MAP, name).await
    }

    /// Waits for a ConfigMap whose entry `key` has this value.
    pub(crate) async fn entry(&self, name: &str, value: &str) -> Value {
        let what = format!("its entry is {value}");
        self.namespace
            .wait_for(CONFIG_MAP, name, &what, DEADLINE, |found| {
                found["data"]["key"] == value
            })
            .await
    }

    pub(crate) async fn version(&self, name: &str) -> String {
        let found = self.config_map(name).await.unwrap();
        text(&found["metadata"]["resourceVersion"])
    }

    /// When the handler was called for a puppet, as the log has it.
    pub(crate) fn calls(&self, name: &str) -> Vec<Timestamp> {
        let object = format!("object={}/{name}", self.namespace.name);
        let lines = self.operator.lines_with(CALL);
        let of_puppet = lines.iter().filter(|line| line.ends_with(&object));
        of_puppet.map(|line| time_of(line)).collect()
    }

    /// Waits for so many calls.
    pub(crate) async fn wait_for_calls(&self, name: &str, count: usize) -> Vec<Timestamp> {
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

    /// Waits until others were called again and again for some three seconds: longer than the host's
    /// first two backoffs, so what should not have happened would have.
    pub(crate) async fn while_others_are_called(&self) {
        let spec = json!({"do": "apply", "requeueAfterMs": 1000});
        self.puppet("witness", &spec).await;
        let before = self.wait_for_calls("witness", 1).await.len();
        self.wait_for_calls("witness", before + 3).await;
    }

    pub(crate) fn mark(&self) -> Mark {
        self.control_plane.audit().mark()
    }

    /// The host's requests in this namespace since a mark.
    pub(crate) async fn requests(&self, since: &Mark) -> Entries {
        let all = self.control_plane.audit_since(since).await;
        all.by(Identity::Host.user())
            .in_namespace(&self.namespace.name)
    }

    /// The host's writes of children since a mark.
    pub(crate) async fn child_writes(&self, since: &Mark) -> Entries {
        let children = ["configmaps", "persistentvolumeclaims"];
        let writes = self.requests(since).await.writes();
        writes.only(|entry| children.contains(&entry.resource.as_str()))
    }

    /// The Events on a puppet, as `type reason: note`.
    pub(crate) async fn events(&self, name: &str) -> Vec<String> {
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

    /// Waits until a puppet has so many Events.
    pub(crate) async fn wait_for_events(&self, name: &str, count: usize) -> Vec<String> {
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

async fn start(
    control_plane: &ControlPlane,
    namespace: &Namespace,
    arguments: &[&str],
) -> Operator {
    let options = Operator::of(control_plane, Identity::Host)
        .module(paths::guest("puppet").unwrap())
        .namespace(&namespace.name)
        .env("RUST_LOG", LOG);
    let options = arguments
        .iter()
        .fold(options, |options, argument| options.arg(argument));
    let mut operator = options.start();
    operator.wait_for_line("serving", DEADLINE).await;
    operator
}

/// When a log line was written.
pub(crate) fn time_of(line: &str) -> Timestamp {
    line.split(' ').next().unwrap().parse().unwrap()
}

/// A spec that desires these children.
pub(crate) fn desire(children: &[Value]) -> Value {
    json!({"do": "apply", "children": children})
}

/// A spec that desires one ConfigMap with the entry `key`.
pub(crate) fn desire_entry(name: &str, value: &str) -> Value {
    desire(&[config_map(name, "key", value)])
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
