//! Handlers in the cluster, the host that serves them, and the files their modules come from.

mod objects;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::objects::{THINGS, digest, module_map, names, thing};
use crate::audit::{Entries, Mark};
use crate::control_plane::ControlPlane;
use crate::deployed::deployed;
use crate::identity::Identity;
use crate::namespace::{CLAIM, EVENT, Namespace, PVC, to_value};
use crate::objects::{condition, evc, resource};
use crate::operator::{Operator, Options};
use crate::variants::{variant, write_atomically};
use crate::wait::eventually;

/// How long tests wait: generous, since many run side by side on few cores.
const DEADLINE: Duration = Duration::from_secs(60);
/// By what a host of a test tells its Handlers from those of other tests.
const LABEL: &str = "tests.handler-host.dev/namespace";

/// A namespace, and a host that serves in it the Handlers of one test.
pub struct Hosted {
    /// The host. Before the namespace, so that it has ended when that goes.
    pub operator: Operator,
    /// Where the parents live that it serves.
    pub namespace: Namespace,
    /// Where its modules are, and in `state` what it keeps.
    pub directory: TempDir,
    control_plane: &'static ControlPlane,
    identity: Identity,
    arguments: Vec<String>,
}

impl Hosted {
    /// Starts a host without Handlers.
    pub async fn start(prefix: &str) -> Self {
        Self::start_with(prefix, &[]).await
    }

    /// With further arguments.
    pub async fn start_with(prefix: &str, arguments: &[&str]) -> Self {
        Self::start_as(prefix, Identity::Host, arguments).await
    }

    /// As one of the control plane's users.
    pub async fn start_as(prefix: &str, identity: Identity, arguments: &[&str]) -> Self {
        let control_plane = ControlPlane::shared().await;
        if identity == Identity::Deployed {
            deployed().await;
        }
        let namespace = Namespace::create(control_plane, prefix).await;
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let operator = Operator::of(control_plane, identity);
        let states = directory.path().join("state");
        let operator = options(operator, &namespace, &states, &arguments).start();
        Self {
            operator,
            namespace,
            directory,
            control_plane,
            identity,
            arguments,
        }
    }

    /// Ends the host and starts another over what it left.
    pub async fn restart(&mut self) {
        self.operator.terminate().await;
        let (namespace, states) = (&self.namespace, self.path("state"));
        let operator = Operator::of(self.control_plane, self.identity);
        self.operator = options(operator, namespace, &states, &self.arguments).start();
    }

    /// Starts a second host beside it, for the same Handlers, as [`Identity::SecondHost`].
    pub fn second_host(&self) -> Operator {
        let operator = Operator::of(self.control_plane, Identity::SecondHost);
        let states = self.path("second-state");
        options(operator, &self.namespace, &states, &self.arguments).start()
    }

    /// A path beside its modules.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Puts a [variant] in place of a module; gives its digest.
    pub fn put(&self, file: &str, name: &str, mode: &str) -> String {
        let bytes = variant(name, mode);
        write_atomically(&self.path(file), &bytes);
        digest(&bytes)
    }

    /// The name of a Handler of this test in the cluster.
    pub fn name(&self, handler: &str) -> String {
        format!("{}-{}", handler.to_lowercase(), self.namespace.name)
    }

    /// Applies a Handler.
    pub async fn apply(&self, handler: &str, spec: &Value) -> Value {
        let name = self.name(handler);
        let object = json!({
            "apiVersion": "handler-host.dev/v1alpha1",
            "kind": "Handler",
            "metadata": {"name": name, "labels": {LABEL: self.namespace.name}},
            "spec": spec,
        });
        let params = PatchParams::apply("tests").force();
        let api = self.api();
        let patch = Patch::Apply(&object);
        let applied = api.patch(&name, &params, &patch);
        to_value(
            &applied
                .await
                .unwrap_or_else(|error| panic!("Handler {name}: {error}")),
        )
    }

    /// Merge-patches a Handler.
    pub async fn merge(&self, handler: &str, patch: &Value) {
        let name = self.name(handler);
        let params = PatchParams::default();
        let api = self.api();
        let patch = Patch::Merge(patch);
        let merged = api.patch(&name, &params, &patch).await;
        merged.unwrap_or_else(|error| panic!("Handler {name}: {error}"));
    }

    /// Deletes a Handler.
    pub async fn delete(&self, handler: &str) {
        let name = self.name(handler);
        let api = self.api();
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("Handler {name}: {error}"));
    }

    /// Waits for a Handler that a condition holds for.
    pub async fn wait_for(
        &self,
        handler: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let name = self.name(handler);
        let what = format!("Handler {name}: {what}\n{}", self.operator.log());
        eventually(&what, DEADLINE, async || {
            match self.api().get(&name).await {
                Ok(found) => {
                    let found = to_value(&found);
                    if holds(&found) {
                        Ok(found)
                    } else {
                        Err(format!("{:#}\n{}", found["status"], self.operator.log()))
                    }
                }
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Waits for a condition of a Handler, in the generation it is in; gives its message.
    pub async fn told(&self, handler: &str, type_: &str, status: &str, reason: &str) -> String {
        let what = format!("{type_}={status} with reason {reason}");
        let found = self
            .wait_for(handler, &what, |found| {
                condition(found, type_).is_some_and(|it| {
                    it["status"] == status
                        && it["reason"] == reason
                        && it["observedGeneration"] == found["metadata"]["generation"]
                })
            })
            .await;
        let told = condition(&found, type_).unwrap_or(&Value::Null);
        told["message"].as_str().unwrap_or_default().to_owned()
    }

    /// As [`told`](Self::told), and the message must contain a text.
    pub async fn told_that(&self, handler: &str, type_: &str, reason: &str, part: &str) {
        let what = format!("{type_} with reason {reason} says {part:?}");
        self.wait_for(handler, &what, |found| {
            condition(found, type_).is_some_and(|it| {
                let message = it["message"].as_str().unwrap_or_default();
                it["reason"] == reason && message.contains(part)
            })
        })
        .await;
    }

    /// Waits until a Handler serves with a module, told by its digest.
    pub async fn serves(&self, handler: &str, digest: &str) -> Value {
        let what = format!("it serves with {digest}");
        self.wait_for(handler, &what, |found| {
            let is_ready = condition(found, "Ready").is_some_and(|it| it["status"] == "True");
            is_ready && found["status"]["module"]["digest"] == digest
        })
        .await
    }

    /// Makes claims of these names.
    pub async fn make(&self, names: &[String]) {
        for name in names {
            let made = self.namespace.create_object(&evc(name, "1Gi")).await;
            made.unwrap_or_else(|error| panic!("claim {name}: {error}"));
        }
    }

    /// Waits until the volume claims of these names carry a variant.
    pub async fn follow(&self, names: &[String], variant: &str) {
        let what = format!("every volume claim is of variant {variant}");
        eventually(&what, DEADLINE, async || {
            let volumes = self.namespace.list(PVC).await;
            let others: Vec<_> = names
                .iter()
                .filter(|name| {
                    let mut volumes = volumes.iter();
                    let volume = volumes.find(|volume| volume["metadata"]["name"] == **name);
                    volume.is_none_or(|it| it["metadata"]["labels"]["variant"] != variant)
                })
                .collect();
            if others.is_empty() {
                Ok(())
            } else {
                Err(format!("{others:?}\n{}", self.operator.log()))
            }
        })
        .await;
    }

    /// Waits until claims are ready.
    pub async fn ready(&self, names: &[String]) {
        for name in names {
            let ready = self
                .namespace
                .wait_for_ready(CLAIM, name, "True", "Reconciled", DEADLINE);
            ready.await;
        }
    }

    /// The resource versions of all objects of a kind, by name.
    pub async fn versions(&self, kind: crate::namespace::Kind) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let objects = self.namespace.list(kind).await;
        let mut versions: Vec<_> = objects
            .iter()
            .map(|it| {
                (
                    text(&it["metadata"]["name"]),
                    text(&it["metadata"]["resourceVersion"]),
                )
            })
            .collect();
        versions.sort();
        versions
    }

    /// The Events on a Handler, as `reason: note`.
    pub async fn events(&self, handler: &str) -> Vec<String> {
        let resource = resource(EVENT.0, EVENT.1);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.namespace.client.clone(), "default", &resource);
        let name = self.name(handler);
        let found = api.list(&kube::api::ListParams::default()).await;
        let found = found.unwrap_or_else(|error| panic!("Events: {error}"));
        let mut events: Vec<_> = found.iter().map(to_value).collect();
        events.retain(|event| event["regarding"]["name"] == name.as_str());
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap_or_default().to_owned());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events
            .iter()
            .map(|event| format!("{}: {}", text(&event["reason"]), text(&event["note"])))
            .collect()
    }

    /// Waits until a Handler has an Event with this reason; gives all that it has.
    pub async fn event(&self, handler: &str, reason: &str) -> Vec<String> {
        let what = format!("an Event {reason} on Handler {handler}");
        eventually(&what, DEADLINE, async || {
            let events = self.events(handler).await;
            if events.iter().any(|it| it.starts_with(reason)) {
                Ok(events)
            } else {
                Err(format!("{events:?}"))
            }
        })
        .await
    }

    /// From here on requests are counted.
    pub fn mark(&self) -> Mark {
        self.control_plane.audit().mark()
    }

    /// The host's requests in this namespace since a mark.
    pub async fn requests(&self, since: &Mark) -> Entries {
        self.requests_of(self.identity, since).await
    }

    /// Those of one of two hosts.
    pub async fn requests_of(&self, host: Identity, since: &Mark) -> Entries {
        let all = self.control_plane.audit_since(since).await;
        all.by(host.user()).in_namespace(&self.namespace.name)
    }

    fn api(&self) -> Api<DynamicObject> {
        let resource = resource("handler-host.dev/v1alpha1", "Handler");
        Api::all_with(self.namespace.client.clone(), &resource)
    }
}

fn options(
    operator: Options,
    namespace: &Namespace,
    states: &Path,
    arguments: &[String],
) -> Options {
    let options = operator
        .arg("--handlers-from-cluster")
        .arg("--handler-selector")
        .arg(format!("{LABEL}={}", namespace.name))
        .arg("--state-dir")
        .arg(states)
        // The host's own lines, and how long a module took to compile.
        .env(
            "RUST_LOG",
            "info,kube_client=off,kube_runtime=off,handler_host::serve=debug",
        )
        .namespace(&namespace.name);
    arguments
        .iter()
        .fold(options, |options, argument| options.arg(argument))
}
