//! A namespace per test, so that tests run side by side.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Error, Result};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::identity::Identity;
use crate::manifest::FIELD_MANAGER;
use crate::objects;
use crate::wait::eventually;

/// The kinds tests look at, as `("apiVersion", "Kind")`.
pub type Kind = (&'static str, &'static str);
/// The kind of the worked example.
pub const CLAIM: Kind = ("kopf.dev/v1", "EphemeralVolumeClaim");
/// The kind of the guest that does what its parent says.
pub const PUPPET: Kind = ("tests.handler-host.dev/v1", "Puppet");
/// The resource that grants; cluster-scoped.
pub const HANDLER: Kind = ("handler-host.dev/v1alpha1", "Handler");
/// What a claim gets.
pub const PVC: Kind = ("v1", "PersistentVolumeClaim");
/// What a puppet may get.
pub const CONFIG_MAP: Kind = ("v1", "ConfigMap");
/// What people read.
pub const EVENT: Kind = ("events.k8s.io/v1", "Event");

/// A namespace of a test's own, deleted when dropped, without waiting for it.
///
/// Its methods act as the administrator, and give objects as plain JSON. Those that cannot fail in a
/// right test panic; the others give kube's own error.
pub struct Namespace {
    /// Unique in this run.
    pub name: String,
    /// A client of the administrator.
    pub client: Client,
    doomed: Sender<String>,
}

impl Namespace {
    /// Creates one, named after the prefix.
    pub async fn create(control_plane: &ControlPlane, prefix: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let client = control_plane.client_as(Identity::Admin).await;
        let namespaces: Api<DynamicObject> =
            Api::all_with(client.clone(), &objects::resource("v1", "Namespace"));
        let namespace = to_dynamic(&objects::object("v1", "Namespace", &name, &json!({})));
        if let Err(error) = namespaces.create(&PostParams::default(), &namespace).await {
            panic!("cannot create namespace {name}: {error}");
        }
        Namespace {
            name,
            client,
            doomed: control_plane.doomed(),
        }
    }

    /// Objects of a kind in this namespace, as the administrator.
    pub fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.client.clone(),
            &self.name,
            &objects::resource(kind.0, kind.1),
        )
    }

    /// Creates an object.
    pub async fn create_object(&self, object: &Value) -> Result<Value> {
        let created = self
            .api_of(object)
            .create(&PostParams::default(), &to_dynamic(object))
            .await;
        created.map(|created| to_value(&created))
    }

    /// Server-side applies an object, by force.
    pub async fn apply(&self, object: &Value) -> Result<Value> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self
            .api_of(object)
            .patch(name, &parameters, &Patch::Apply(object))
            .await;
        applied.map(|applied| to_value(&applied))
    }

    /// Merge-patches an object.
    pub async fn merge(&self, kind: Kind, name: &str, patch: &Value) -> Result<Value> {
        let merged = self
            .api(kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        merged.map(|merged| to_value(&merged))
    }

    /// Deletes an object, without waiting until it is gone.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        self.api(kind)
            .delete(name, &DeleteParams::default())
            .await
            .map(drop)
    }

    /// An object, if it exists.
    pub async fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        match self.api(kind).get_opt(name).await {
            Ok(object) => object.as_ref().map(to_value),
            Err(error) => panic!("cannot read {} {name}: {error}", kind.1),
        }
    }

    /// All objects of a kind.
    pub async fn list(&self, kind: Kind) -> Vec<Value> {
        match self.api(kind).list(&ListParams::default()).await {
            Ok(list) => list.iter().map(to_value).collect(),
            Err(error) => panic!("cannot list {}: {error}", kind.1),
        }
    }

    /// Waits for an object that a condition holds for.
    pub async fn wait_for(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        deadline: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("{} {}/{name}: {what}", kind.1, self.name);
        eventually(&what, deadline, async || {
            match self.api(kind).get(name).await {
                Ok(object) => {
                    let object = to_value(&object);
                    if holds(&object) {
                        Ok(object)
                    } else {
                        Err(format!("{object:#}"))
                    }
                }
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Waits until the condition `Ready` has this status and reason.
    pub async fn wait_for_ready(
        &self,
        kind: Kind,
        name: &str,
        status: &str,
        reason: &str,
        deadline: Duration,
    ) -> Value {
        let what = format!("Ready={status} with reason {reason}");
        self.wait_for(kind, name, &what, deadline, |object| {
            objects::condition(object, "Ready")
                .is_some_and(|ready| ready["status"] == status && ready["reason"] == reason)
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn wait_until_gone(&self, kind: Kind, name: &str, deadline: Duration) {
        let what = format!("{} {}/{name} is gone", kind.1, self.name);
        eventually(&what, deadline, async || {
            match self.api(kind).get(name).await {
                Ok(object) => Err(format!("{:#}", to_value(&object))),
                Err(Error::Api(status)) if status.code == 404 => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    fn api_of(&self, object: &Value) -> Api<DynamicObject> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        Api::namespaced_with(
            self.client.clone(),
            &self.name,
            &objects::resource(text("apiVersion"), text("kind")),
        )
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody listens any more when the first client could not be made: then it stays.
        let _ = self.doomed.send(std::mem::take(&mut self.name));
    }
}

fn to_dynamic(object: &Value) -> DynamicObject {
    match serde_json::from_value(object.clone()) {
        Ok(object) => object,
        Err(error) => panic!("not an object with metadata: {error}: {object:#}"),
    }
}

pub(crate) fn to_value(object: &DynamicObject) -> Value {
    match serde_json::to_value(object) {
        Ok(value) => value,
        Err(error) => panic!("an object that is not JSON: {error}"),
    }
}
