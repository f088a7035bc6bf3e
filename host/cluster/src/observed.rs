use std::collections::BTreeSet;
use std::sync::Arc;

use handler_host_core::{Grant, HANDLER_LABEL, Object, Rule, Scope};
use kube::Client;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::ClusterError;
use crate::apply::ChildKind;
use crate::cache::Cache;
use crate::conflicts::Conflicts;
use crate::kinds::{Kinds, rules_of};
use crate::meters::HandlerMeters;
use crate::watch::{Fill, Watch};
use crate::work::Work;

/// The kinds of a handler as they are watched, whether a module is there to serve them or not: a host that
/// stands by has its caches filled already when its turn comes.
pub struct Observed {
    pub(crate) grant: Grant,
    pub(crate) parents: ChildKind,
    pub(crate) children: Vec<ChildKind>,
    pub(crate) conflicts: Arc<Conflicts>,
    /// For those who serve.
    pub(crate) work: Arc<Work>,
    pub(crate) meters: Arc<HandlerMeters>,
    pub(crate) watches: JoinSet<()>,
    /// Each is told when its cache is filled.
    pub(crate) filled: Vec<oneshot::Receiver<()>>,
    pub(crate) warmth: Warmth,
}

/// How far the first filling of all caches is.
#[derive(Clone, Default)]
pub(crate) struct Warmth {
    fills: Vec<Arc<Fill>>,
    settled: Arc<Notify>,
}

impl Warmth {
    fn one_more(&mut self) -> Arc<Fill> {
        let fill = Arc::new(Fill::new(&self.settled));
        self.fills.push(fill.clone());
        fill
    }

    /// Whether each watch has come as far as it can: its cache is filled, or the API server refuses it.
    pub(crate) fn is_warm(&self) -> bool {
        self.fills.iter().all(|fill| fill.is_settled())
    }

    /// Waits until that is so.
    pub(crate) async fn warm(&self) {
        while !self.is_warm() {
            self.settled.notified().await;
        }
    }
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
        meters: Arc<HandlerMeters>,
    ) -> Result<Observed, ClusterError> {
        let Self {
            grant,
            parents,
            children,
        } = self;
        if parents.scope == Scope::Cluster && !namespaces.is_empty() {
            let parent = parents.kind;
            return Err(ClusterError::Namespaces { parent });
        }
        let mut observed = Observed {
            grant,
            parents: ChildKind::new(parents),
            children: children.into_iter().map(ChildKind::new).collect(),
            conflicts: Arc::default(),
            work: Arc::new(Work::new(meters.clone())),
            meters,
            watches: JoinSet::new(),
            filled: Vec::new(),
            warmth: Warmth::default(),
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

impl Observed {
    /// The rights that serving takes, with parents that get a finalizer or not.
    #[must_use]
    pub fn rules(&self, has_finalizer: bool) -> Vec<Rule> {
        let children = self.children.iter().map(|child| &child.served);
        rules_of(&self.grant, &self.parents.served, children, has_finalizer)
    }

    /// Whether its caches are filled, or as full as the API server lets them be.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.warmth.is_warm()
    }

    /// Waits until they are.
    pub async fn warm(&self) {
        self.warmth.warm().await;
    }

    fn watch(&mut self, client: &Client, namespace: Option<&String>) {
        let work = self.work.clone();
        let on_parent = move |parent: &Object| work.note(parent.key());
        let fill = self.warmth.one_more();
        let watch = Watch::of(&self.parents, namespace, String::new(), fill);
        self.start(watch, client, on_parent);
        for child in 0..self.children.len() {
            let labels = format!("{HANDLER_LABEL}={}", self.grant.handler);
            let fill = self.warmth.one_more();
            let watch = Watch::of(&self.children[child], namespace, labels, fill);
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
        watch: Watch,
        client: &Client,
        on_change: impl Fn(&Object) + Send + Sync + 'static,
    ) {
        let (filled, is_filled) = oneshot::channel();
        self.filled.push(is_filled);
        self.watches
            .spawn(watch.run(client.clone(), filled, on_change));
    }
}

fn child_changed(child: &Object, parents: &Cache, work: &Work) {
    for uid in child.parent_uids() {
        if let Some(parent) = parents.key_of(uid) {
            work.note(parent);
        }
    }
}
