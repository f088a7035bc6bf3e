use std::collections::BTreeSet;
use std::sync::Arc;

use handler_host_core::{Grant, HANDLER_LABEL, Kind, Object, Rule, Scope};
use kube::Client;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::cache::Cache;
use super::contested_names::ContestedNames;
use super::error::ClusterError;
use super::fill::FillProgress;
use super::kind_watch::KindWatch;
use super::kinds::{Kinds, rules_of};
use super::kinds_follower::KindsFollower;
use super::object_memory::{HandlerObjects, ObjectMemory};
use super::watched_kind::WatchedKind;
use super::work_queue::WorkQueue;
use crate::api::Restorations;
use crate::metrics::HandlerMetrics;

/// The kinds of a handler, which are watched whether a module serves them yet or not. A host that stands by has
/// filled caches when it becomes the leader.
pub struct WatchedKinds {
    pub(crate) grant: Grant,
    pub(crate) parents: WatchedKind,
    pub(crate) children: Vec<WatchedKind>,
    pub(crate) contested: Arc<ContestedNames>,
    /// The parents to reconcile. It takes none before there are workers.
    pub(crate) queue: Arc<WorkQueue>,
    pub(crate) metrics: Arc<HandlerMetrics>,
    pub(crate) watches: JoinSet<()>,
    /// Each is notified when its cache is filled.
    pub(crate) filled: Vec<oneshot::Receiver<()>>,
    pub(crate) fill_progress: FillProgress,
    restorations: Arc<Restorations>,
    /// The granted kinds of children that are not served.
    pub(crate) missing: Vec<Kind>,
    /// Notices when kinds are served otherwise.
    pub(crate) follower: Arc<KindsFollower>,
}

impl Kinds {
    /// Starts the watches of all kinds, in these namespaces, or in all if there are none. Their objects take of `memory`.
    ///
    /// # Errors
    ///
    /// When namespaces are named, but the parents are cluster-scoped.
    pub fn watch(
        self,
        client: &Client,
        namespaces: &[String],
        metrics: Arc<HandlerMetrics>,
        memory: &ObjectMemory,
    ) -> Result<WatchedKinds, ClusterError> {
        let Self {
            grant,
            parents,
            children,
            missing,
        } = self;
        if parents.scope == Scope::Cluster && !namespaces.is_empty() {
            let parent = parents.kind;
            return Err(ClusterError::Namespaces { parent });
        }
        let follower = Arc::new(KindsFollower::default());
        let mut watches = JoinSet::new();
        let served = [&parents].into_iter().chain(&children);
        let found = served.map(|it| (it.kind.clone(), Some(it.clone())));
        let found = found.chain(missing.iter().map(|kind| (kind.clone(), None)));
        watches.spawn(follower.clone().run(client.clone(), found.collect()));
        let memory = Arc::new(HandlerObjects::new(memory));
        let watched = |served| WatchedKind::new(served, &memory);
        let mut observed = WatchedKinds {
            grant,
            parents: watched(parents),
            children: children.into_iter().map(watched).collect(),
            contested: Arc::default(),
            queue: Arc::new(WorkQueue::new(metrics.clone())),
            metrics,
            watches,
            filled: Vec::new(),
            fill_progress: FillProgress::default(),
            restorations: Arc::default(),
            missing,
            follower,
        };
        let places: BTreeSet<Option<String>> = if namespaces.is_empty() {
            BTreeSet::from([None])
        } else {
            namespaces.iter().cloned().map(Some).collect()
        };
        for namespace in &places {
            observed.watch(client, namespace.as_ref());
        }
        Ok(observed)
    }
}

impl WatchedKinds {
    /// The rights that serving the handler needs. `has_finalizer` says whether its parents get a finalizer.
    #[must_use]
    pub fn rules(&self, has_finalizer: bool) -> Vec<Rule> {
        let children = self.children.iter().map(|child| &child.served);
        rules_of(&self.grant, &self.parents.served, children, has_finalizer)
    }

    /// Whether each watch has filled its cache, or was refused by the API server.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.fill_progress.is_filled()
    }

    /// Waits until [`is_filled`](Self::is_filled).
    pub async fn filled(&self) {
        self.fill_progress.filled().await;
    }

    /// Holds all work back from the first moment on, or not.
    pub fn set_paused(&self, is_paused: bool) {
        self.queue.change(|queue| queue.set_paused(is_paused));
    }

    /// What is missing in the cluster; None if nothing is.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        missing_in_words(&self.missing)
    }

    /// Waits until a kind is served otherwise than it was found.
    pub async fn changed(&self) {
        self.follower.changed().await;
    }

    fn watch(&mut self, client: &Client, namespace: Option<&String>) {
        let queue = self.queue.clone();
        let on_parent = move |parent: &Object| queue.add(parent.key());
        let fill = self.fill_progress.add_watch();
        let watch = KindWatch::of(
            &self.parents,
            namespace,
            String::new(),
            fill,
            self.restorations.clone(),
            self.follower.clone(),
        );
        self.start(watch, client, on_parent);
        for child in 0..self.children.len() {
            let labels = format!("{HANDLER_LABEL}={}", self.grant.handler);
            let fill = self.fill_progress.add_watch();
            let watch = KindWatch::of(
                &self.children[child],
                namespace,
                labels,
                fill,
                self.restorations.clone(),
                self.follower.clone(),
            );
            let contested = self.contested.clone();
            self.watches.spawn(contested.watch(
                watch.served.clone(),
                namespace.cloned(),
                client.clone(),
                self.queue.clone(),
            ));
            let (parents, queue) = (self.parents.cache.clone(), self.queue.clone());
            self.start(watch, client, move |child| {
                child_changed(child, &parents, &queue);
            });
        }
    }

    fn start(
        &mut self,
        watch: KindWatch,
        client: &Client,
        on_change: impl Fn(&Object) + Send + Sync + 'static,
    ) {
        let (filled, is_filled) = oneshot::channel();
        self.filled.push(is_filled);
        self.watches
            .spawn(watch.run(client.clone(), filled, on_change));
    }
}

/// What is missing in the cluster, and what to do about it.
pub(crate) fn missing_in_words(kinds: &[Kind]) -> Option<String> {
    let kinds: Vec<_> = kinds.iter().map(Kind::to_string).collect();
    (!kinds.is_empty()).then(|| {
        format!(
            "The API server does not serve {}; apply its CustomResourceDefinition. All else is served.",
            kinds.join(", ")
        )
    })
}

fn child_changed(child: &Object, parents: &Cache, queue: &WorkQueue) {
    for uid in child.parent_uids() {
        if let Some(parent) = parents.key_of(uid) {
            queue.add(parent);
        }
    }
}
