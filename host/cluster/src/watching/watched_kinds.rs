use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use handler_host_core::{
    Grant, HANDLER_LABEL, Kind, LabelSelector, Object, RelatedScope, Rule, Scope,
};
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
use super::related_kinds::RelatedKinds;
use super::related_watches::{RelatedWatches, Subscriber, Subscription};
use super::watched_kind::WatchedKind;
use super::work_queue::WorkQueue;
use crate::api::{Restorations, ServedKind};
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
    /// The granted kinds of related objects that are served, and their objects.
    pub(crate) related_served: Vec<ServedKind>,
    pub(crate) related: Arc<RelatedKinds>,
    /// The namespaces, if parents are selected by them.
    pub(crate) namespaces: Option<Arc<Cache>>,
    /// The granted kinds of children and of related objects that are not served.
    pub(crate) missing: Vec<Kind>,
    /// Notices when kinds are served otherwise.
    pub(crate) follower: Arc<KindsFollower>,
}

/// Where the kinds of a handler are watched, and in whose name.
pub struct WatchPlace<'a> {
    /// It reads in the name of the handler's account.
    pub client: &'a Client,
    /// The user name of the account; None for the host's own.
    pub account: Option<&'a str>,
    /// The namespaces of the parents; all if there are none.
    pub namespaces: &'a [String],
    /// The objects take of this memory.
    pub memory: &'a ObjectMemory,
    /// The watches of related objects, which handlers share.
    pub related: &'a RelatedWatches,
}

impl Kinds {
    /// Starts the watches of all kinds.
    ///
    /// # Errors
    ///
    /// When namespaces are named, but the parents are cluster-scoped.
    pub fn watch(
        self,
        place: &WatchPlace<'_>,
        metrics: Arc<HandlerMetrics>,
    ) -> Result<WatchedKinds, ClusterError> {
        let WatchPlace {
            client,
            namespaces,
            memory,
            ..
        } = *place;
        let Self {
            grant,
            parents,
            children,
            related,
            missing,
        } = self;
        if parents.scope == Scope::Cluster && !namespaces.is_empty() {
            let parent = parents.kind;
            return Err(ClusterError::Namespaces { parent });
        }
        let follower = Arc::new(KindsFollower::default());
        let mut watches = JoinSet::new();
        let served = [&parents].into_iter().chain(&children).chain(&related);
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
            related_served: related,
            related: Arc::default(),
            namespaces: None,
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
        observed.watch_related(place, &memory);
        observed.watch_namespaces(place);
        Ok(observed)
    }
}

impl WatchedKinds {
    /// The rights that serving the handler needs. `has_finalizer` says whether its parents get a finalizer.
    #[must_use]
    pub fn rules(&self, has_finalizer: bool) -> Vec<Rule> {
        rules_of(
            &self.grant,
            &self.parents.served,
            self.children.iter().map(|child| &child.served),
            &self.related_served,
            has_finalizer,
        )
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
            self.grant.selection.watched_labels().to_string(),
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

    /// Follows the related objects that are granted. A change adds the parents that depend on the object.
    fn watch_related(&mut self, place: &WatchPlace<'_>, memory: &Arc<HandlerObjects>) {
        // A change may come before all watches are known, and finds no parents then: none has been reconciled yet.
        let related = Arc::new(OnceLock::<Arc<RelatedKinds>>::new());
        let mut kinds = RelatedKinds::new(memory.clone());
        for served in &self.related_served.clone() {
            for scope in scopes_of(&self.grant, &served.kind, place.namespaces) {
                let (of_change, queue) = (related.clone(), self.queue.clone());
                let (kind, follower) = (served.kind.clone(), self.follower.clone());
                let subscriber = Subscriber {
                    on_change: Box::new(move |object| {
                        let parents = of_change.get().map(|it| it.parents_of(&kind, object));
                        for parent in parents.into_iter().flatten() {
                            queue.add(parent);
                        }
                    }),
                    on_gone: Box::new(move || follower.hint()),
                };
                let subscription = place.related.subscribe(
                    place.client,
                    place.account,
                    &scope,
                    served,
                    subscriber,
                );
                kinds.add(&served.kind, subscription.cache());
                self.await_fill(subscription);
            }
        }
        let kinds = Arc::new(kinds);
        // It is set once.
        let _ = related.set(kinds.clone());
        self.related = kinds;
    }

    /// Follows the namespaces, if parents are selected by them. A change adds the parents in the namespace.
    fn watch_namespaces(&mut self, place: &WatchPlace<'_>) {
        let Grant {
            selection,
            parent,
            parent_scope,
            ..
        } = &self.grant;
        if !selection.needs_namespaces(parent, *parent_scope) {
            return;
        }
        let served = ServedKind::namespaces();
        let scope = RelatedScope {
            kind: served.kind.clone(),
            namespace: None,
            name: None,
            labels: LabelSelector::default(),
        };
        let (parents, queue) = (self.parents.cache.clone(), self.queue.clone());
        let subscriber = Subscriber {
            on_change: Box::new(move |namespace| {
                for key in parents.keys() {
                    if key.namespace.as_deref() == Some(namespace.meta.name.as_str()) {
                        queue.add(key);
                    }
                }
            }),
            on_gone: Box::new(|| {}),
        };
        let subscription =
            place
                .related
                .subscribe(place.client, place.account, &scope, &served, subscriber);
        self.namespaces = Some(subscription.cache());
        self.await_fill(subscription);
    }

    /// Has the handler begin only when the cache of a subscription is filled.
    fn await_fill(&mut self, subscription: Subscription) {
        let fill = self.fill_progress.add_watch();
        let (filled, is_filled) = oneshot::channel();
        self.filled.push(is_filled);
        self.watches.spawn(async move {
            subscription.settled().await;
            fill.settle();
            subscription.filled().await;
            // The receiver is gone only while the host stops.
            let _ = filled.send(());
            subscription.ended().await;
        });
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

/// The watches that together follow the related objects of a kind, each once.
pub(crate) fn scopes_of(grant: &Grant, kind: &Kind, namespaces: &[String]) -> Vec<RelatedScope> {
    let mut scopes: Vec<RelatedScope> = Vec::new();
    for related in grant.related(kind) {
        for scope in related.scopes(grant.parent_scope, namespaces) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
    }
    scopes
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
