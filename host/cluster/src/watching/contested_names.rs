use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use handler_host_core::{ChildRef, Key, Kind, Object};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::backoff::WatchBackoff;
use super::work_queue::WorkQueue;
use crate::api::{ProblemLog, Received, ServedKind, watch_problem};

/// Names of children at which foreign objects stand. Those objects carry no label of ours, so the watch
/// of children does not see them; while there is any, the metadata of their kind is watched without a
/// selector, and a change or the end of one has its parents looked at again.
#[derive(Default)]
pub(crate) struct ContestedNames {
    contested: Mutex<HashMap<ChildRef, Contested>>,
    changed: Notify,
}

#[derive(Default)]
struct Contested {
    parents: HashSet<Key>,
    /// The foreign object's resource version; None while nobody looked, or when it is gone.
    version: Option<String>,
}

impl ContestedNames {
    /// Something stands at this name; to be said before looking at it, so that no change between the
    /// look and the note is missed.
    pub(crate) fn contest(&self, child: &ChildRef, parent: &Key) {
        let mut contested = self.contested.lock();
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
        if let Some(entry) = self.contested.lock().get_mut(child) {
            entry.version = Some(object.meta.resource_version.clone());
        }
    }

    /// A pass over the parent ended; these of its children are contested still.
    pub(crate) fn settle(&self, parent: &Key, still: &[ChildRef]) {
        let mut contested = self.contested.lock();
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
        served: ServedKind,
        namespace: Option<String>,
        client: Client,
        work: Arc<WorkQueue>,
    ) {
        loop {
            self.until(&served.kind, true).await;
            tokio::select! {
                () = self.follow(&served, namespace.as_deref(), &client, &work) => {}
                () = self.until(&served.kind, false) => {}
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
        let problems = ProblemLog::at(format!("watching foreign objects of {}", served.kind));
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
                    self.news(&served.kind, &key, object.resource_version())
                }
                Ok(Event::InitDone) => self.unlisted(&served.kind, namespace, &listed),
                Ok(Event::Apply(object)) => {
                    self.news(&served.kind, &key_of(&object), object.resource_version())
                }
                Ok(Event::Delete(object)) => self.news(&served.kind, &key_of(&object), None),
            };
            problems.resolve();
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
        match self.contested.lock().get_mut(&child) {
            Some(entry) if entry.version != version || version.is_none() => {
                entry.version = version;
                entry.parents.iter().cloned().collect()
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn unlisted(&self, kind: &Kind, namespace: Option<&str>, listed: &HashSet<Key>) -> Vec<Key> {
        let contested = self.contested.lock();
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
    fn only_news_of_a_contested_name_has_its_parents_looked_at_again() {
        let conflicts = ContestedNames::default();
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
