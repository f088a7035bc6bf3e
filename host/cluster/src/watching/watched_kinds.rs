use std::collections::BTreeSet;
use std::sync::Arc;

use handler_host_core::{Grant, HANDLER_LABEL, Object, Rule, Scope};
use kube::Client;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::cache::Cache;
use super::contested_names::ContestedNames;
use super::error::ClusterError;
use super::fill::FillProgress;
use super::kind_watch::KindWatch;
use super::kinds::{Kinds, rules_of};
use super::watched_kind::WatchedKind;
use super::work_queue::WorkQueue;
use crate::metrics::HandlerMetrics;

/// The kinds of a handler as they are watched, whether a module is there to serve them or not: a host that
/// stands by has its caches filled already when its turn comes.
pub struct WatchedKinds {
    pub(crate) grant: Grant,
    pub(crate) parents: WatchedKind,
    pub(crate) children: Vec<WatchedKind>,
    pub(crate) conflicts: Arc<ContestedNames>,
    /// For those who serve.
    pub(crate) work: Arc<WorkQueue>,
    pub(crate) metrics: Arc<HandlerMetrics>,
    pub(crate) watches: JoinSet<()>,
    /// Each is told when its cache is filled.
    pub(crate) filled: Vec<oneshot::Receiver<()>>,
    pub(crate) fill_progress: FillProgress,
}

impl Kinds {
    /// Starts every watch; with no namespaces, of all.
    ///
    /// # Errors
    ///
    /// When namespaces are named for parents that live in none.
    pub fn observe(
        self,
        client: &Client,
        namespaces: &[String],
        metrics: Arc<HandlerMetrics>,
    ) -> Result<WatchedKinds, ClusterError> {
        let Self {
            grant,
            parents,
            children,
        } = self;
        if parents.scope == Scope::Cluster && !namespaces.is_empty() {
            let parent = parents.kind;
            return Err(ClusterError::Namespaces { parent });
        }
        let mut observed = WatchedKinds {
            grant,
            parents: WatchedKind::new(parents),
            children: children.into_iter().map(WatchedKind::new).collect(),
            conflicts: Arc::default(),
            work: Arc::new(WorkQueue::new(metrics.clone())),
            metrics,
            watches: JoinSet::new(),
            filled: Vec::new(),
            fill_progress: FillProgress::default(),
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
    /// The rights that serving takes, with parents that get a finalizer or not.
    #[must_use]
    pub fn rules(&self, has_finalizer: bool) -> Vec<Rule> {
        let children = self.children.iter().map(|child| &child.served);
        rules_of(&self.grant, &self.parents.served, children, has_finalizer)
    }

    /// Whether its caches are filled, or as full as the API server lets them be.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.fill_progress.is_filled()
    }

    /// Waits until they are.
    pub async fn filled(&self) {
        self.fill_progress.filled().await;
    }

    fn watch(&mut self, client: &Client, namespace: Option<&String>) {
        let work = self.work.clone();
        let on_parent = move |parent: &Object| work.note(parent.key());
        let fill = self.fill_progress.one_more();
        let watch = KindWatch::of(&self.parents, namespace, String::new(), fill);
        self.start(watch, client, on_parent);
        for child in 0..self.children.len() {
            let labels = format!("{HANDLER_LABEL}={}", self.grant.handler);
            let fill = self.fill_progress.one_more();
            let watch = KindWatch::of(&self.children[child], namespace, labels, fill);
            let conflicts = self.conflicts.clone();
            self.watches.spawn(conflicts.watch(
                watch.served.clone(),
                namespace.cloned(),
                client.clone(),
                self.work.clone(),
            ));
            let (parents, work) = (self.parents.cache.clone(), self.work.clone());
            self.start(watch, client, move |child| {
                child_changed(child, &parents, &work);
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

fn child_changed(child: &Object, parents: &Cache, work: &WorkQueue) {
    for uid in child.parent_uids() {
        if let Some(parent) = parents.key_of(uid) {
            work.note(parent);
        }
    }
}
