use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use handler_host_core::{
    Backoff, Description, Grant, HANDLER_LABEL, Invoke, Key, Object, OnParentDelete, Scope, Task,
};
use kube::Client;
use kube::runtime::events::Reporter;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::ClusterError;
use crate::apply::ChildKind;
use crate::conflicts::Conflicts;
use crate::discovery::{Served, served};
use crate::ledger::Ledger;
use crate::trouble::Trouble;
use crate::watch::Watch;
use crate::work::Work;

/// A handler and what it is granted.
pub struct Activation {
    /// Its name.
    pub name: String,
    /// The handler.
    pub invoke: Arc<dyn Invoke>,
    /// What it says it is.
    pub description: Description,
    /// Its config, JSON text.
    pub config: String,
    /// The namespaces whose parents it serves; empty for all.
    pub namespaces: Vec<String>,
    /// What becomes of children when their parent goes.
    pub on_parent_delete: OnParentDelete,
    /// How long a stopping host lets calls and writes under way end.
    pub stop_patience: Duration,
    /// Parents worked on at a time; at least 1.
    pub concurrency: usize,
}

/// One handler's controller.
pub(crate) struct Controller {
    pub(crate) client: Client,
    pub(crate) grant: Grant,
    pub(crate) description: Description,
    pub(crate) invoke: Arc<dyn Invoke>,
    pub(crate) config: Arc<str>,
    pub(crate) parents: ChildKind,
    pub(crate) children: Vec<ChildKind>,
    pub(crate) ledger: Ledger,
    pub(crate) conflicts: Arc<Conflicts>,
    pub(crate) work: Arc<Work>,
    pub(crate) backoff: Backoff,
    pub(crate) reporter: Reporter,
    pub(crate) event_trouble: Trouble,
    pub(crate) write_trouble: Trouble,
}

/// Serves a handler until `stop` resolves; then lets what is under way end.
///
/// Waits for the API server and for the kinds to be served, however long that takes, saying once what it
/// waits for.
///
/// # Errors
///
/// When the handler can never be served.
pub async fn run(
    client: Client,
    activation: Activation,
    stop: impl Future<Output = ()>,
) -> Result<(), ClusterError> {
    let mut stop = std::pin::pin!(stop);
    let concurrency = activation.concurrency.max(1);
    let stop_patience = activation.stop_patience;
    let namespaces: BTreeSet<_> = activation.namespaces.iter().cloned().collect();
    let controller = tokio::select! {
        controller = Controller::prepare(client, activation) => Arc::new(controller?),
        () = &mut stop => return Ok(()),
    };
    let mut tasks = JoinSet::new();
    let filled = controller.watch(&namespaces, &mut tasks);
    tokio::select! {
        // A sender that is dropped means a watch that ended, which only the end of the host does.
        _ = futures::future::join_all(filled) => {}
        () = &mut stop => return Ok(()),
    }
    tracing::info!(handler = %controller.grant.handler, parents = controller.parents.cache.keys().len(), "serving {}", controller.grant.parent);
    for key in controller.parents.cache.keys() {
        controller.work.change(|queue| queue.add(key));
    }
    for _ in 0..concurrency {
        tasks.spawn(controller.clone().worker());
    }
    tokio::select! {
        () = &mut stop => {}
        // Workers and watches run for ever; without one of them the host would only look alive.
        Some(ended) = tasks.join_next() => {
            let why = ended.map_or_else(|error| error.to_string(), |()| "no error".to_owned());
            return Err(ClusterError::Ended(why));
        }
    }
    tracing::info!(handler = %controller.grant.handler, "stopping: letting what is under way end");
    controller.work.stop(stop_patience).await;
    Ok(())
}

impl Controller {
    async fn prepare(client: Client, activation: Activation) -> Result<Self, ClusterError> {
        let description = activation.description;
        let parents = served(&client, &description.parent).await;
        let mut children = Vec::new();
        for kind in &description.children {
            children.push(ChildKind::new(served(&client, kind).await));
        }
        if parents.scope == Scope::Cluster && !activation.namespaces.is_empty() {
            let parent = description.parent;
            return Err(ClusterError::Namespaces { parent });
        }
        let scope = |kind: &_| {
            let mut all = children.iter().map(|child| &child.served).chain([&parents]);
            all.find(|served| served.kind == *kind)
                .map_or(Scope::Namespaced, |served| served.scope)
        };
        let grant = Grant::of_description(
            &activation.name,
            &description,
            activation.on_parent_delete,
            scope,
        )?;
        let reporter = Reporter {
            controller: grant.field_manager(),
            instance: None,
        };
        Ok(Self {
            reporter,
            client,
            grant,
            description,
            invoke: activation.invoke,
            config: activation.config.into(),
            parents: ChildKind::new(parents),
            children,
            ledger: Ledger::default(),
            conflicts: Arc::default(),
            work: Arc::default(),
            backoff: Backoff::default(),
            event_trouble: Trouble::with_consequence("publishing Events", "the Event is dropped"),
            write_trouble: Trouble::at("applying children"),
        })
    }

    /// Starts every watch; each receiver is told when its cache is filled.
    fn watch(
        self: &Arc<Self>,
        namespaces: &BTreeSet<String>,
        tasks: &mut JoinSet<()>,
    ) -> Vec<oneshot::Receiver<()>> {
        let places: Vec<Option<String>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().cloned().map(Some).collect()
        };
        let mut filled = Vec::new();
        for namespace in &places {
            let on_parent = {
                let controller = self.clone();
                move |parent: &Object| controller.work.change(|queue| queue.add(parent.key()))
            };
            filled.push(self.start(&self.parents, namespace, String::new(), tasks, on_parent));
            for child in &self.children {
                let controller = self.clone();
                let on_child = move |child: &Object| controller.child_changed(child);
                let labels = format!("{HANDLER_LABEL}={}", self.grant.handler);
                filled.push(self.start(child, namespace, labels, tasks, on_child));
                let conflicts = self.conflicts.clone();
                let (served, client, work) =
                    (child.served.clone(), self.client.clone(), self.work.clone());
                tasks.spawn(conflicts.watch(served, namespace.clone(), client, work));
            }
        }
        filled
    }

    fn start(
        &self,
        kind: &ChildKind,
        namespace: &Option<String>,
        labels: String,
        tasks: &mut JoinSet<()>,
        on_change: impl Fn(&Object) + Send + Sync + 'static,
    ) -> oneshot::Receiver<()> {
        let (filled, is_filled) = oneshot::channel();
        let watch = Watch {
            served: kind.served.clone(),
            namespace: namespace
                .clone()
                .filter(|_| kind.served.scope == Scope::Namespaced),
            labels,
            cache: kind.cache.clone(),
        };
        tasks.spawn(watch.run(self.client.clone(), filled, on_change));
        is_filled
    }

    fn child_changed(&self, child: &Object) {
        for uid in child.parent_uids() {
            if let Some(parent) = self.parents.cache.key_of(uid) {
                self.work.change(|queue| queue.add(parent));
            }
        }
    }

    async fn worker(self: Arc<Self>) {
        loop {
            let task = self.work.next().await;
            let key: &Key = match &task {
                Task::Reconcile(key) | Task::Retry(key) | Task::Report(key) => key,
            };
            match &task {
                Task::Reconcile(key) => self.reconcile(key, false).await,
                Task::Retry(key) => self.reconcile(key, true).await,
                Task::Report(key) => self.report(key).await,
            }
            self.work.done(key);
        }
    }
}

impl ChildKind {
    fn new(served: Served) -> Self {
        Self {
            served,
            cache: Arc::default(),
        }
    }
}
