use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use handler_host_core::{Key, Object, Scope};
use kube::Client;
use kube::runtime::watcher::{self, Event};
use tokio::sync::oneshot;

use super::backoff::WatchBackoff;
use super::cache::Cache;
use super::fill::Fill;
use super::kinds_follower::KindsFollower;
use super::watched_kind::WatchedKind;
use crate::api::{
    ProblemLog, Received, Restorations, ServedKind, watch_across_restorations, watch_problem,
};

/// One watch that fills a cache: of one kind, in one namespace or in all.
pub(crate) struct KindWatch {
    pub(crate) served: ServedKind,
    pub(crate) namespace: Option<String>,
    /// The name of the one object that is watched; None for any.
    pub(crate) name: Option<String>,
    /// A label selector; empty for everything.
    pub(crate) labels: String,
    pub(crate) cache: Arc<Cache>,
    pub(crate) fill: Arc<Fill>,
    pub(crate) restorations: Arc<Restorations>,
    /// Called when the API server answers as if it did not serve the kind.
    pub(crate) on_gone: Box<dyn Fn() + Send + Sync>,
}

impl KindWatch {
    /// The watch of a kind in a namespace, or in all of them if there is none. Cluster-scoped kinds are watched as a
    /// whole.
    pub(crate) fn of(
        kind: &WatchedKind,
        namespace: Option<&String>,
        labels: String,
        fill: Arc<Fill>,
        restorations: Arc<Restorations>,
        follower: Arc<KindsFollower>,
    ) -> Self {
        Self {
            served: kind.served.clone(),
            namespace: namespace
                .filter(|_| kind.served.scope == Scope::Namespaced)
                .cloned(),
            name: None,
            labels,
            cache: kind.cache.clone(),
            fill,
            restorations,
            on_gone: Box::new(move || follower.hint()),
        }
    }

    /// Keeps the cache up to date for ever. `on_change` gets each object that was created, changed or deleted.
    /// `filled` is notified once, when every object that existed is in the cache.
    pub(crate) async fn run(
        self,
        client: Client,
        filled: oneshot::Sender<()>,
        on_change: impl Fn(&Object),
    ) {
        let api = self.served.api(&client, self.namespace.as_deref());
        let mut config = watcher::Config::default();
        if !self.labels.is_empty() {
            config = config.labels(&self.labels);
        }
        if let Some(name) = &self.name {
            config = config.fields(&format!("metadata.name={name}"));
        }
        let restorations = self.restorations.clone();
        let stream = watch_across_restorations(api, config, WatchBackoff::default, restorations);
        self.follow(stream, filled, on_change).await;
    }

    async fn follow(
        &self,
        stream: impl Stream<Item = Result<Event<Received>, watcher::Error>>,
        filled: oneshot::Sender<()>,
        on_change: impl Fn(&Object),
    ) {
        let problems = ProblemLog::of(format!("watching {}", self.words()));
        let mut filled = Some(filled);
        let mut listed: HashSet<Key> = HashSet::new();
        let mut stream = pin!(stream);
        while let Some(event) = stream.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    problems.report(&watch_problem(&error));
                    if is_gone(&error) {
                        (self.on_gone)();
                    }
                    if is_refused(&error) {
                        self.fill.settle();
                    }
                    continue;
                }
            };
            // This event comes before the API server has answered.
            if !matches!(event, Event::Init) {
                problems.resolve();
            }
            match event {
                Event::Init => {
                    listed.clear();
                    self.cache.begin_list();
                }
                Event::InitApply(object) => {
                    if let Some(object) = self.read(object) {
                        listed.insert(object.key());
                        self.put(object, Cache::insert_listed, &on_change);
                    }
                }
                Event::InitDone => {
                    for gone in self.cache.retain(self.namespace.as_deref(), &listed) {
                        on_change(&gone);
                    }
                    listed = HashSet::new();
                    self.fill.settle();
                    // The receiver is gone only while the host stops.
                    let _ = filled.take().map(|filled| filled.send(()));
                }
                Event::Apply(object) => {
                    if let Some(object) = self.read(object) {
                        self.put(object, Cache::insert, &on_change);
                    }
                }
                Event::Delete(object) => {
                    if let Some(object) = self.read(object) {
                        self.cache.remove(&object);
                        on_change(&object);
                    }
                }
            }
        }
    }

    /// Puts an object into the cache. A parent that it belonged to before is notified too.
    fn put(
        &self,
        object: Object,
        insert: impl Fn(&Cache, Arc<Object>) -> Arc<Object>,
        on_change: &impl Fn(&Object),
    ) {
        if let Some(before) = self.cache.get(&object.key()) {
            on_change(&before);
        }
        on_change(&insert(&self.cache, Arc::new(object)));
    }

    fn read(&self, object: Received) -> Option<Object> {
        object.into_object(&self.served.kind)
    }

    /// What is watched, for people.
    fn words(&self) -> String {
        let mut words = self.served.kind.to_string();
        if let Some(name) = &self.name {
            words = format!("{words} {name}");
        }
        match &self.namespace {
            Some(namespace) => format!("{words} in {namespace}"),
            None => words,
        }
    }
}

/// Whether the API server answers as if it did not serve the kind.
fn is_gone(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => {
            matches!(status.code, 404 | 405)
        }
        watcher::Error::WatchError(status) => matches!(status.code, 404 | 405),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// Whether the API server refuses the watch until a right is granted or a kind is defined.
fn is_refused(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) => {
            matches!(status.code, 401 | 403 | 404)
        }
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => false,
    }
}
