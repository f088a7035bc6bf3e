//! Claims in a namespace of their own, served by an operator of their own.

use serde_json::{Value, json};

use super::isolated::Namespace;
use crate::accounts::TestAccount;
use crate::audit::{AuditEntries, Mark};
use crate::control_plane::{ControlPlane, Relay};
use crate::objects::kinds::{CLAIM, EVENT, PVC};
use crate::objects::{self, evc, text};
use crate::operator::{Operator, OperatorOptions};
use crate::paths;
use crate::wait::{DEADLINE, eventually};

/// Has volume claims carry these labels of their claims.
const COPYING: [&str; 2] = ["--config", "copyLabels=[app, turn]"];
/// The annotation that carries the storage class, as in Kopf's tutorial. The API server refuses every change
/// of it.
pub const STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// The annotation in which the host keeps the digest of what it applied last.
pub const APPLIED: &str = "handler-host.dev/applied";
/// Arguments of an operator that works on one parent at a time, in the order in which parents changed.
pub const IN_TURN: [&str; 2] = ["--concurrency", "1"];

const FENCE: &str = "fence-";

/// A namespace of claims and the operator that serves it.
///
/// When this is dropped, the operator is killed and the namespace is deleted. A method that waits panics after
/// [`DEADLINE`].
pub struct VolumeClaims<'a> {
    /// The namespace of the claims.
    pub namespace: Namespace,
    /// The operator that serves the claims.
    pub operator: Operator,
    control_plane: &'a ControlPlane,
    arguments: Vec<String>,
    mark: Mark,
    fences: u32,
}

impl Namespace {
    /// Deletes a volume claim at once, without waiting for the controller that removes its protecting
    /// finalizer.
    pub async fn delete_volume(&self, name: &str) {
        let deleted = self.delete(PVC, name).await;
        deleted.unwrap_or_else(|error| panic!("cannot delete volume claim {name}: {error}"));
        let unprotected = json!({"metadata": {"finalizers": null}});
        // This may fail: the controller may have been faster, or the operator may have made another one.
        let _ = self.merge(PVC, name, &unprotected).await;
    }
}

impl<'a> VolumeClaims<'a> {
    /// A new namespace, and an operator that serves it, works [in turn](IN_TURN) and [copies](COPYING) some labels.
    pub async fn served(control_plane: &'a ControlPlane, prefix: &str) -> Self {
        Self::served_with(
            control_plane,
            prefix,
            &[IN_TURN[0], IN_TURN[1], COPYING[0], COPYING[1]],
        )
        .await
    }

    /// As [`served`](Self::served), with other arguments for the operator.
    pub async fn served_with(
        control_plane: &'a ControlPlane,
        prefix: &str,
        arguments: &[&str],
    ) -> Self {
        let namespace = Namespace::create(control_plane, prefix).await;
        Self::served_in(control_plane, namespace, arguments).await
    }

    /// As [`served_with`](Self::served_with), by an operator that reaches the API server through a relay.
    pub async fn served_through_a_relay(
        control_plane: &'a ControlPlane,
        prefix: &str,
    ) -> (Relay, Self) {
        let mut relay = Relay::to(control_plane);
        relay.mend().await;
        let kubeconfig = relay.kubeconfig().display().to_string();
        let arguments = ["--kubeconfig", &kubeconfig];
        let claims = Self::served_with(control_plane, prefix, &arguments).await;
        (relay, claims)
    }

    /// As [`served_with`](Self::served_with), in a namespace that may already have objects.
    pub async fn served_in(
        control_plane: &'a ControlPlane,
        namespace: Namespace,
        arguments: &[&str],
    ) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let mark = control_plane.audit().mark();
        let operator = start(control_plane, &namespace.name, &arguments).await;
        VolumeClaims {
            namespace,
            operator,
            control_plane,
            arguments,
            mark,
            fences: 0,
        }
    }

    /// Starts another operator after the first has ended.
    pub async fn start_again(&mut self) {
        self.operator = start(self.control_plane, &self.namespace.name, &self.arguments).await;
    }

    /// Creates a claim.
    pub async fn create(&self, name: &str, size: impl Into<Value>) -> Value {
        let created = self.namespace.create_object(&evc(name, size)).await;
        created.unwrap_or_else(|error| panic!("cannot create claim {name}: {error}"))
    }

    /// Creates a claim and waits until it is ready.
    pub async fn create_ready(&self, name: &str, size: impl Into<Value>) -> Value {
        self.create(name, size).await;
        self.ready(name).await
    }

    /// Waits until another volume claim has the name of one that was deleted.
    pub async fn volume_made_again(&self, deleted: &Value) -> Value {
        let metadata = &deleted["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        self.volume_that(name, "is another one", |volume| {
            volume["metadata"]["uid"] != metadata["uid"]
        })
        .await
    }

    /// Waits until a volume claim whose digest was removed has one again.
    pub async fn volume_restored(&self, name: &str) -> Value {
        self.volume_that(name, "is restored", |volume| {
            volume["metadata"]["annotations"][APPLIED].is_string()
        })
        .await
    }

    /// Merge-patches a claim.
    pub async fn change(&self, name: &str, patch: &Value) -> Value {
        let changed = self.namespace.merge(CLAIM, name, patch).await;
        changed.unwrap_or_else(|error| panic!("cannot change claim {name}: {error}"))
    }

    /// Sets the size of a claim.
    pub async fn resize(&self, name: &str, size: impl Into<Value>) -> Value {
        let size = size.into();
        self.change(name, &json!({"spec": {"size": size}})).await
    }

    /// Changes an annotation of a claim. That changes nothing about its volume claim, because the handler does
    /// not copy annotations.
    pub async fn touch(&self, name: &str) {
        let stamp = format!("{:x}", fastrand::u64(..));
        self.change(
            name,
            &json!({"metadata": {"annotations": {"touched": stamp}}}),
        )
        .await;
    }

    /// Waits until a claim is ready in its present generation.
    pub async fn ready(&self, name: &str) -> Value {
        self.condition(name, "True", "Reconciled").await.0
    }

    /// Waits until a claim is not ready for this reason in its present generation. Returns the message.
    pub async fn not_ready(&self, name: &str, reason: &str) -> String {
        self.condition(name, "False", reason).await.1
    }

    async fn condition(&self, name: &str, status: &str, reason: &str) -> (Value, String) {
        let what = format!("Ready={status} with reason {reason}");
        let is_so = |claim: &Value| {
            objects::condition(claim, "Ready").is_some_and(|ready| {
                ready["status"] == status
                    && ready["reason"] == reason
                    // It is absent where the CRD has no status subresource.
                    && ready
                        .get("observedGeneration")
                        .is_none_or(|seen| *seen == claim["metadata"]["generation"])
            })
        };
        let claim = self
            .namespace
            .wait_for(CLAIM, name, &what, DEADLINE, is_so)
            .await;
        let ready = objects::condition(&claim, "Ready").unwrap_or(&Value::Null);
        let message = ready["message"].as_str().unwrap_or_default().to_owned();
        (claim, message)
    }

    /// Waits for a volume claim.
    pub async fn volume(&self, name: &str) -> Value {
        self.volume_that(name, "is there", |_| true).await
    }

    /// Waits for a volume claim for which a condition holds. `what` describes the condition in messages.
    pub async fn volume_that(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        self.namespace
            .wait_for(PVC, name, what, DEADLINE, holds)
            .await
    }

    /// As [`Namespace::delete_volume`].
    pub async fn delete_volume(&self, name: &str) {
        self.namespace.delete_volume(name).await;
    }

    /// The Events of a claim as (type, reason, note), the oldest first.
    pub async fn events(&self, name: &str) -> Vec<[String; 3]> {
        let mut events = self.namespace.list(EVENT).await;
        events.retain(|event| event["regarding"]["name"] == name);
        events.sort_by_key(|event| text(&event["eventTime"]));
        events
            .iter()
            .map(|event| {
                [
                    text(&event["type"]),
                    text(&event["reason"]),
                    text(&event["note"]),
                ]
            })
            .collect()
    }

    /// Requests before this call are no longer counted.
    pub async fn count_from_here(&mut self) {
        // A request that was answered before may be logged a moment later.
        self.requests().await;
        self.mark = self.control_plane.audit().mark();
    }

    /// The requests of the operator in this namespace since it was started, or since
    /// [`count_from_here`](Self::count_from_here). The claims that [`fence`](Self::fence) makes are left out.
    pub async fn requests(&self) -> AuditEntries {
        self.control_plane
            .audit_since(&self.mark)
            .await
            .by(TestAccount::Host.user())
            .in_namespace(&self.namespace.name)
            .only(|entry| !entry.name.starts_with(FENCE))
    }

    /// The requests for a claim, its volume claim and its Events.
    pub async fn requests_about(&self, name: &str) -> AuditEntries {
        let prefix = format!("{name}.");
        let requests = self.requests().await;
        requests.only(|entry| entry.name == name || entry.name.starts_with(&prefix))
    }

    /// Waits until the operator has tried `count` times to write a volume claim. Returns when each try arrived at
    /// the API server.
    pub async fn tries(&self, name: &str, count: usize) -> Vec<String> {
        let what = format!("{count} tries to write volume claim {name}");
        eventually(&what, DEADLINE, async || {
            let requests = self.requests().await.named(name);
            let tries = requests.resource("persistentvolumeclaims").verb("patch");
            if tries.count() >= count {
                Ok(tries.iter().map(|entry| entry.received.clone()).collect())
            } else {
                Err(tries.to_string())
            }
        })
        .await
    }

    /// Waits until the operator has dealt with every change that was made before this call. Tests use it to show
    /// that nothing happened. The operator must work [in turn](IN_TURN).
    ///
    /// It changes a claim of its own and its volume claim. In both watches these changes come after all earlier
    /// ones, and their status is written after the statuses of all earlier changes.
    pub async fn fence(&mut self) {
        self.fences += 1;
        let name = format!("{FENCE}{}", self.fences);
        self.create_ready(&name, "1Gi").await;
        let strip = json!({"metadata": {"annotations": {APPLIED: null}}});
        let stripped = self.namespace.merge(PVC, &name, &strip).await;
        stripped.unwrap_or_else(|error| panic!("cannot change volume claim {name}: {error}"));
        self.volume_that(&name, "is restored", |volume| {
            volume["metadata"]["annotations"][APPLIED].is_string()
        })
        .await;
        self.resize(&name, Value::Null).await;
        let what = format!("{name} has both its Events");
        eventually(&what, DEADLINE, async || {
            let events = self.events(&name).await;
            if events.len() == 2 {
                Ok(())
            } else {
                Err(format!("{events:?}"))
            }
        })
        .await;
    }
}

/// A volume claim that is no parent's child.
pub fn foreign_volume(name: &str) -> Value {
    let spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "7Gi"}},
    });
    objects::object("v1", "PersistentVolumeClaim", name, &json!({"spec": spec}))
}

/// The options of an operator of guest-evc that serves one namespace.
pub fn operator(control_plane: &ControlPlane, namespace: &str) -> OperatorOptions {
    let module = paths::guest("evc").unwrap_or_else(|error| panic!("{error:#}"));
    Operator::of(control_plane, TestAccount::Host)
        .module(module)
        .namespace(namespace)
}

async fn start(control_plane: &ControlPlane, namespace: &str, arguments: &[String]) -> Operator {
    let options = operator(control_plane, namespace);
    let mut operator = arguments
        .iter()
        .fold(options, |options, argument| options.arg(argument))
        .start();
    operator.wait_for_line("serving", DEADLINE).await;
    operator
}
