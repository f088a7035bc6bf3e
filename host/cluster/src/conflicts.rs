use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use handler_host_core::{ChildRef, Key, Kind, Object};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::Notify;

use crate::discovery::Served;
use crate::received::Received;
use crate::trouble::Trouble;
use crate::watch::{WatchBackoff, watch_problem};
use crate::work::Work;

/// Names of children at which foreign objects stand. Those objects carry no label of ours, so the watch
/// of children does not see them; while there is any, the metadata of their kind is watched without a
/// selector, and a change or the end of one has its parents looked at again.
#[derive(Default)]
pub(crate) struct Conflicts {
    contested: Mutex<HashMap<ChildRef, Contested>>,
    changed: Notify,
}

#[derive(Default)]
struct Contested {
    parents: HashSet<Key>,
    /// The foreign object's resource version; None while nobody looked, or when it is gone.
    version: Option<String>,
}

impl Conflicts {
    /// Something stands at this name; to be said before looking at it, so that no change between the
    /// look and the note is missed.
    pub(crate) fn contest(&self, child: &ChildRef, parent: &Key) {
        let mut contested = self.contested();
        contested
            .entry(child.clone())
            .or_default()
            .parents
            .insert(parent.clone());
        drop(contested);
        self.changed.notify_waiters();
    }

    /// It was looked at, and is foreign.
    pub(crate) fn seen(&self, child: &ChildRef, object: &Object) {
        if let Some(entry) = self.contested().get_mut(child) {
            entry.version = Some(object.meta.resource_version.clone());
        }
    }

    /// A pass over the parent ended; these of its children are contested still.
    pub(crate) fn settle(&self, parent: &Key, still: &[ChildRef]) {
        let mut contested = self.contested();
        if contested.is_empty() {
            return;
        }
        contested.retain(|child, entry| {
            if !still.contains(child) {
                entry.parents.remove(parent);
            }
            !entry.parents.is_empty()
        });
        drop(contested);
        self.changed.notify_waiters();
    }

    /// Watches one kind while anything of it is contested.
    pub(crate) async fn watch(
        self: Arc<Self>,
        served: Served,
        namespace: Option<String>,
        client: Client,
        work: Arc<Work>,
    ) {
        loop {
            self.until(&served.kind, true).await;
            tokio::select! {
                () = self.follow(&served, namespace.as_deref(), &client, &work) => {}
                () = self.until(&served.kind, false) => {}
            }
        }
    }

    async fn follow(&self, served: &Served, namespace: Option<&str>, client: &Client, work: &Work) {
        let trouble = Trouble::at(format!("watching foreign objects of {}", served.kind));
        let client = client.clone();
        let api: Api<PartialObjectMeta<Received>> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &served.resource),
            None => Api::all_with(client, &served.resource),
        };
        let mut stream = pin!(watcher(api, Config::default()).backoff(WatchBackoff::default()));
        let mut listed = HashSet::new();
        while let Some(event) = stream.next().await {
            let retry = match event {
                Err(error) => {
                    trouble.met(&watch_problem(&error));
                    continue;
                }
                Ok(Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    let key = key_of(&object);
                    listed.insert(key.clone());
                    self.news(&served.kind, &key, object.resource_version())
                }
                Ok(Event::InitDone) => self.unlisted(&served.kind, namespace, &listed),
                Ok(Event::Apply(object)) => {
                    self.news(&served.kind, &key_of(&object), object.resource_version())
                }
                Ok(Event::Delete(object)) => self.news(&served.kind, &key_of(&object), None),
            };
            trouble.is_over();
            for parent in retry {
                work.change(|queue| queue.retry_now(parent));
            }
        }
    }

    /// The parents to look at again, now that the object has this version (None: is gone).
    fn news(&self, kind: &Kind, key: &Key, version: Option<String>) -> Vec<Key> {
        let child = ChildRef {
            kind: kind.clone(),
            key: key.clone(),
        };
        match self.contested().get_mut(&child) {
            Some(entry) if entry.version != version || version.is_none() => {
                entry.version = version;
                entry.parents.iter().cloned().collect()
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn unlisted(&self, kind: &Kind, namespace: Option<&str>, listed: &HashSet<Key>) -> Vec<Key> {
        let contested = self.contested();
        let is_gone = |child: &ChildRef| {
            let is_in_scope = namespace.is_none() || child.key.namespace.as_deref() == namespace;
            child.kind == *kind && is_in_scope && !listed.contains(&child.key)
        };
        let gone = contested.iter().filter(|(child, _)| is_gone(child));
        gone.flat_map(|(_, entry)| entry.parents.iter().cloned())
            .collect()
    }

    /// Waits until something of the kind is contested, or nothing.
    async fn until(&self, kind: &Kind, is_contested: bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.contested().keys().any(|child| child.kind == *kind) == is_contested {
                return;
            }
            changed.await;
        }
    }

    fn contested(&self) -> MutexGuard<'_, HashMap<ChildRef, Contested>> {
        self.contested
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
    fn only_news_of_a_contested_name_has_its_parents_looked_at_again() {
        let conflicts = Conflicts::default();
        let parent = Key::new(Some("ns"), "p");
        let news = |version: Option<&str>| {
            conflicts.news(&child().kind, &child().key, version.map(str::to_owned))
        };
        assert!(news(Some("1")).is_empty());
        conflicts.contest(&child(), &parent);
        conflicts.seen(&child(), &object("5"));
        assert!(news(Some("5")).is_empty());
        assert_eq!(news(Some("6")), std::slice::from_ref(&parent));
        assert_eq!(news(None), std::slice::from_ref(&parent));
        conflicts.settle(&parent, &[]);
        assert!(news(Some("7")).is_empty());
    }
}
