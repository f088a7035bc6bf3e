//! A namespace for each test, so that tests run side by side.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Error, Result};
use serde_json::{Value, json};

use crate::accounts::TestAccount;
use crate::control_plane::ControlPlane;
use crate::objects::kinds::ResourceKind;
use crate::objects::manifest::FIELD_MANAGER;
use crate::objects::{self, to_value};
use crate::wait::eventually;

/// A namespace that one test has for itself. It is deleted when this is dropped, which does not wait for the end.
///
/// The methods act as the administrator and return objects as JSON. Those that cannot fail in a correct test
/// panic when they do; the others return the error of kube.
pub struct Namespace {
    /// The name, which no other test of this run has.
    pub name: String,
    /// A client of the administrator.
    pub client: Client,
    doomed: Sender<String>,
}

impl Namespace {
    /// Creates a namespace whose name begins with the prefix.
    pub async fn create(control_plane: &ControlPlane, prefix: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let client = control_plane.client_as(TestAccount::Admin).await;
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

    /// The API of a kind in this namespace, as the administrator.
    pub fn api(&self, kind: ResourceKind) -> Api<DynamicObject> {
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

    /// Applies an object by server-side apply, with force.
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
    pub async fn merge(&self, kind: ResourceKind, name: &str, patch: &Value) -> Result<Value> {
        let merged = self
            .api(kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        merged.map(|merged| to_value(&merged))
    }

    /// Replaces an object by one that was read and changed.
    pub async fn replace(&self, kind: ResourceKind, object: &Value) -> Result<Value> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let replaced = self
            .api(kind)
            .replace(name, &PostParams::default(), &to_dynamic(object))
            .await;
        replaced.map(|replaced| to_value(&replaced))
    }

    /// Deletes an object, without waiting until it is gone.
    pub async fn delete(&self, kind: ResourceKind, name: &str) -> Result<()> {
        self.api(kind)
            .delete(name, &DeleteParams::default())
            .await
            .map(drop)
    }

    /// An object, or `None` when it does not exist.
    pub async fn get(&self, kind: ResourceKind, name: &str) -> Option<Value> {
        match self.api(kind).get_opt(name).await {
            Ok(object) => object.as_ref().map(to_value),
            Err(error) => panic!("cannot read {} {name}: {error}", kind.1),
        }
    }

    /// All objects of a kind.
    pub async fn list(&self, kind: ResourceKind) -> Vec<Value> {
        match self.api(kind).list(&ListParams::default()).await {
            Ok(list) => list.iter().map(to_value).collect(),
            Err(error) => panic!("cannot list {}: {error}", kind.1),
        }
    }

    /// Waits until an object exists and a condition holds for it. `what` describes the condition in messages.
    pub async fn wait_for(
        &self,
        kind: ResourceKind,
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
        kind: ResourceKind,
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
    pub async fn wait_until_gone(&self, kind: ResourceKind, name: &str, deadline: Duration) {
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
        // When the thread that deletes namespaces could not make its client, the namespace stays.
        let _ = self.doomed.send(std::mem::take(&mut self.name));
    }
}

fn to_dynamic(object: &Value) -> DynamicObject {
    match serde_json::from_value(object.clone()) {
        Ok(object) => object,
        Err(error) => panic!("not an object with metadata: {error}: {object:#}"),
    }
}
