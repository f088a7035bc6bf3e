use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use handler_host_core::{ChildRef, Key, Kind, Object};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::backoff::WatchBackoff;
use super::work_queue::WorkQueue;
use crate::api::{ProblemLog, Received, ServedKind, watch_across_restorations, watch_problem};

/// The names of children at which foreign objects exist.
///
/// Those objects do not have the label that children are watched by. While there are any, the metadata of their
/// kind is watched without a selector, and when one changes or is deleted, the parents that desire its name are
/// reconciled.
#[derive(Default)]
pub(crate) struct ContestedNames {
    contested: Mutex<HashMap<ChildRef, Contested>>,
    changed: Notify,
}

#[derive(Default)]
struct Contested {
    /// The parents that desire a child of this name.
    parents: HashSet<Key>,
    /// The foreign object's resource version; None before it was read, or when it is gone.
    version: Option<String>,
}

impl ContestedNames {
    /// Notes that an object exists at the name of a parent's child. It has to be noted before the object is read, so
    /// that no change after the read is missed.
    pub(crate) fn add(&self, child: &ChildRef, parent: &Key) {
        let mut contested = self.contested.lock();
        contested
            .entry(child.clone())
            .or_default()
            .parents
            .insert(parent.clone());
        drop(contested);
        self.changed.notify_waiters();
    }

    /// Notes the version of the object, which was read and is foreign.
    pub(crate) fn set_version(&self, child: &ChildRef, object: &Object) {
        if let Some(entry) = self.contested.lock().get_mut(child) {
            entry.version = Some(object.meta.resource_version.clone());
        }
    }

    /// Notes that a pass over the parent ended, and which names of its children are still contested.
    pub(crate) fn retain(&self, parent: &Key, contested_still: &[ChildRef]) {
        let mut contested = self.contested.lock();
        if contested.is_empty() {
            return;
        }
        contested.retain(|child, entry| {
            if !contested_still.contains(child) {
                entry.parents.remove(parent);
            }
            !entry.parents.is_empty()
        });
        drop(contested);
        self.changed.notify_waiters();
    }

    /// Watches one kind while a name of it is contested, and never returns.
    pub(crate) async fn watch(
        self: Arc<Self>,
        served: ServedKind,
        namespace: Option<String>,
        client: Client,
        work: Arc<WorkQueue>,
    ) {
        loop {
            self.wait_until(&served.kind, true).await;
            tokio::select! {
                () = self.follow(&served, namespace.as_deref(), &client, &work) => {}
                () = self.wait_until(&served.kind, false) => {}
            }
        }
    }

    async fn follow(
        &self,
        served: &ServedKind,
        namespace: Option<&str>,
        client: &Client,
        work: &WorkQueue,
    ) {
        let problems = ProblemLog::of(format!("watching foreign objects of {}", served.kind));
        let client = client.clone();
        let api: Api<PartialObjectMeta<Received>> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &served.resource),
            None => Api::all_with(client, &served.resource),
        };
        let stream = watch_across_restorations(
            api,
            Config::default(),
            WatchBackoff::default,
            Arc::default(),
        );
        let mut stream = pin!(stream);
        let mut listed = HashSet::new();
        while let Some(event) = stream.next().await {
            let retry = match event {
                Err(error) => {
                    problems.report(&watch_problem(&error));
                    continue;
                }
                Ok(Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    let key = key_of(&object);
                    listed.insert(key.clone());
                    self.parents_of_change(&served.kind, &key, object.resource_version())
                }
                Ok(Event::InitDone) => self.parents_of_unlisted(&served.kind, namespace, &listed),
                Ok(Event::Apply(object)) => self.parents_of_change(
                    &served.kind,
                    &key_of(&object),
                    object.resource_version(),
                ),
                Ok(Event::Delete(object)) => {
                    self.parents_of_change(&served.kind, &key_of(&object), None)
                }
            };
            problems.resolve();
            for parent in retry {
                work.change(|queue| queue.retry_now(parent));
            }
        }
    }

    /// The parents to reconcile now that the object has this version; None if it is gone.
    fn parents_of_change(&self, kind: &Kind, key: &Key, version: Option<String>) -> Vec<Key> {
        let child = ChildRef {
            kind: kind.clone(),
            key: key.clone(),
        };
        match self.contested.lock().get_mut(&child) {
            Some(entry) if entry.version != version || version.is_none() => {
                entry.version = version;
                entry.parents.iter().cloned().collect()
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// The parents to reconcile after a list: those of names at which no object was listed.
    fn parents_of_unlisted(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        listed: &HashSet<Key>,
    ) -> Vec<Key> {
        let contested = self.contested.lock();
        let is_gone = |child: &ChildRef| {
            let is_in_scope = namespace.is_none() || child.key.namespace.as_deref() == namespace;
            child.kind == *kind && is_in_scope && !listed.contains(&child.key)
        };
        let gone = contested.iter().filter(|(child, _)| is_gone(child));
        gone.flat_map(|(_, entry)| entry.parents.iter().cloned())
            .collect()
    }

    /// Waits until a name of the kind is contested, or none is.
    async fn wait_until(&self, kind: &Kind, is_contested: bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // No change is missed from here on.
            changed.as_mut().enable();
            if self
                .contested
                .lock()
                .keys()
                .any(|child| child.kind == *kind)
                == is_contested
            {
                return;
            }
            changed.await;
        }
    }
}

fn key_of(object: &impl ResourceExt) -> Key {
    Key::new(object.namespace().as_deref(), &object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child() -> ChildRef {
        ChildRef {
            kind: Kind::new("v1", "ConfigMap").unwrap(),
            key: Key::new(Some("ns"), "a"),
        }
    }

    fn object(version: &str) -> Object {
        let text = format!(
            r#"{{"metadata":{{"name":"a","namespace":"ns","resourceVersion":"{version}"}}}}"#
        );
        Object::parse(&child().kind, &text).unwrap()
    }

    #[test]
    fn only_a_change_at_a_contested_name_has_its_parents_reconciled() {
        let names = ContestedNames::default();
        let parent = Key::new(Some("ns"), "p");
        let changed = |version: Option<&str>| {
            names.parents_of_change(&child().kind, &child().key, version.map(str::to_owned))
        };
        assert!(changed(Some("1")).is_empty());
        names.add(&child(), &parent);
        names.set_version(&child(), &object("5"));
        assert!(changed(Some("5")).is_empty());
        assert_eq!(changed(Some("6")), std::slice::from_ref(&parent));
        assert_eq!(changed(None), std::slice::from_ref(&parent));
        names.retain(&parent, &[]);
        assert!(changed(Some("7")).is_empty());
    }
}
