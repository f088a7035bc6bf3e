//! What tests of Handlers wait for.

use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;

use super::handlers::{DEADLINE, Hosted};
use crate::objects::kinds::{CLAIM, EVENT, PVC, ResourceKind};
use crate::objects::{condition, evc, resource, text, to_value};
use crate::wait::eventually;

impl Hosted {
    /// Waits until a condition holds for a Handler. `what` describes the condition in messages.
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

    /// Waits until a condition of a Handler has this status and reason in its present generation. Returns the
    /// message of the condition.
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
        text(&told["message"])
    }

    /// Waits until a condition of a Handler has this reason and its message contains a text.
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

    /// Waits until a Handler serves with the module of this digest.
    pub async fn serves(&self, handler: &str, digest: &str) -> Value {
        let what = format!("it serves with {digest}");
        self.wait_for(handler, &what, |found| {
            let is_ready = condition(found, "Ready").is_some_and(|it| it["status"] == "True");
            is_ready && found["status"]["module"]["digest"] == digest
        })
        .await
    }

    /// Creates claims of these names.
    pub async fn make(&self, names: &[String]) {
        for name in names {
            let made = self.namespace.create_object(&evc(name, "1Gi")).await;
            made.unwrap_or_else(|error| panic!("claim {name}: {error}"));
        }
    }

    /// Waits until the volume claims of these names carry the label of a variant.
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

    /// Waits until the claims of these names are ready.
    pub async fn ready(&self, names: &[String]) {
        for name in names {
            let ready = self
                .namespace
                .wait_for_ready(CLAIM, name, "True", "Reconciled", DEADLINE);
            ready.await;
        }
    }

    /// The resource versions of all objects of a kind, by name.
    pub async fn versions(&self, kind: ResourceKind) -> Vec<(String, String)> {
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

    /// The Events on a Handler, as `reason: note`, the oldest first.
    pub async fn events(&self, handler: &str) -> Vec<String> {
        let resource = resource(EVENT.0, EVENT.1);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.namespace.client.clone(), "default", &resource);
        let name = self.name(handler);
        let found = api.list(&ListParams::default()).await;
        let found = found.unwrap_or_else(|error| panic!("Events: {error}"));
        let mut events: Vec<_> = found.iter().map(to_value).collect();
        events.retain(|event| event["regarding"]["name"] == name.as_str());
        events.sort_by_key(|event| text(&event["eventTime"]));
        events
            .iter()
            .map(|event| format!("{}: {}", text(&event["reason"]), text(&event["note"])))
            .collect()
    }

    /// Waits until a Handler has an Event with this reason. Returns all Events on it.
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
}
