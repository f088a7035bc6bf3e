use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use handler_host_core::{Backoff, Grant, HANDLER_LABEL, Key, Object, Scope, Task, TrialFailure};
use kube::Client;
use kube::runtime::events::Reporter;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::active::{Active, FailedTrial, Running};
use crate::apply::ChildKind;
use crate::conflicts::Conflicts;
use crate::discovery::Served;
use crate::kinds::Kinds;
use crate::ledger::Ledger;
use crate::meters::{HandlerMeters, Known as _};
use crate::trouble::Trouble;
use crate::vitals::{PulseOf, Vitals};
use crate::watch::{Fill, Watch};
use crate::work::Work;
use crate::{ClusterError, TRACES};

/// How a handler is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces whose parents it serves; empty for all.
    pub namespaces: Vec<String>,
    /// Parents worked on at a time; at least 1.
    pub concurrency: usize,
    /// The least time between two parents that are looked at again after a swap.
    pub revisit_interval: Duration,
    /// Where it shows that it is alive.
    pub vitals: Vitals,
}

/// One handler's controller.
pub(crate) struct Controller {
    pub(crate) client: Client,
    /// All that is granted; what the module that runs asks for may be less.
    pub(crate) grant: Grant,
    pub(crate) parents: ChildKind,
    pub(crate) children: Vec<ChildKind>,
    pub(crate) ledger: Ledger,
    pub(crate) conflicts: Arc<Conflicts>,
    pub(crate) work: Arc<Work>,
    pub(crate) backoff: Backoff,
    pub(crate) reporter: Reporter,
    pub(crate) event_trouble: Trouble,
    pub(crate) write_trouble: Trouble,
    pub(crate) meters: Arc<HandlerMeters>,
    vitals: Vitals,
    /// How far each watch is.
    fills: OnceLock<Vec<Arc<Fill>>>,
    settled: Arc<Notify>,
    running: RwLock<Arc<Running>>,
    failed_trials: UnboundedSender<FailedTrial>,
}

impl Controller {
    pub(crate) fn new(
        client: Client,
        kinds: Kinds,
        options: &Options,
        active: Active,
        meters: Arc<HandlerMeters>,
        failed_trials: UnboundedSender<FailedTrial>,
    ) -> Result<Self, ClusterError> {
        let Kinds {
            grant,
            parents,
            children,
        } = kinds;
        if parents.scope == Scope::Cluster && !options.namespaces.is_empty() {
            let parent = parents.kind;
            return Err(ClusterError::Namespaces { parent });
        }
        let running = Running::new(active, &grant)?;
        let reporter = Reporter {
            controller: grant.field_manager(),
            instance: None,
        };
        let work = Work::new(Arc::clone(&meters));
        meters.workers_are(options.concurrency.max(1));
        work.change(|queue| queue.set_revisit_interval(options.revisit_interval));
        Ok(Self {
            client,
            grant,
            parents: ChildKind::new(parents),
            children: children.into_iter().map(ChildKind::new).collect(),
            ledger: Ledger::default(),
            conflicts: Arc::default(),
            work: Arc::new(work),
            backoff: Backoff::default(),
            reporter,
            event_trouble: Trouble::with_consequence("publishing Events", "the Event is dropped"),
            write_trouble: Trouble::at("applying children"),
            meters,
            vitals: options.vitals.clone(),
            fills: OnceLock::new(),
            settled: Arc::default(),
            running: RwLock::new(Arc::new(running)),
            failed_trials,
        })
    }

    /// Serves until `stopped`, which gives how long what is under way may take to end.
    pub(crate) async fn run(
        self: Arc<Self>,
        options: Options,
        stopped: oneshot::Receiver<Duration>,
    ) -> Result<(), ClusterError> {
        let mut stopped = std::pin::pin!(stopped);
        let namespaces: BTreeSet<_> = options.namespaces.iter().cloned().collect();
        let mut tasks = JoinSet::new();
        let filled = self.watch(&namespaces, &mut tasks);
        tokio::select! {
            // A sender that is dropped means a watch that ended, which only the end of the host does.
            _ = futures::future::join_all(filled) => {}
            _ = &mut stopped => return Ok(()),
        }
        let parents = self.parents.cache.keys();
        tracing::info!(handler = %self.grant.handler, parents = parents.len(), "serving {}", self.grant.parent);
        for key in parents {
            self.work.change(|queue| queue.add(key));
        }
        let what = format!("the workers of handler {}", self.grant.handler);
        self.work.begins(self.vitals.pulse(PulseOf::Loop, what));
        for _ in 0..options.concurrency.max(1) {
            tasks.spawn(self.clone().worker());
        }
        let patience = tokio::select! {
            // A sender that is dropped takes its task with it.
            patience = &mut stopped => patience.unwrap_or_default(),
            // Workers and watches run for ever; without one of them the host would only look alive.
            Some(ended) = tasks.join_next() => {
                let why = ended.map_or_else(|error| error.to_string(), |()| "no error".to_owned());
                return Err(ClusterError::Ended(why));
            }
        };
        tracing::info!(handler = %self.grant.handler, "stopping: letting what is under way end");
        self.work.stop(patience).await;
        Ok(())
    }

    /// The module that runs now.
    pub(crate) fn running(&self) -> Arc<Running> {
        let running = self.running.read();
        running.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another module in its place, and has every parent looked at again.
    pub(crate) fn swap_in(&self, running: Running) {
        let mut slot = self.running.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Arc::new(running);
        drop(slot);
        self.revisit_all();
    }

    pub(crate) fn revisit_all(&self) {
        let parents = self.parents.cache.keys();
        self.work.change(|queue| {
            for key in parents {
                queue.revisit(key);
            }
        });
    }

    /// Whether each watch has come as far as it can: its cache is filled, or the API server refuses it.
    pub(crate) fn is_warm(&self) -> bool {
        let fills = self.fills.get();
        fills.is_some_and(|fills| fills.iter().all(|fill| fill.is_settled()))
    }

    /// Waits until that is so.
    pub(crate) async fn warm(&self) {
        while !self.is_warm() {
            self.settled.notified().await;
        }
    }

    /// Says, once, that the trial of a module failed.
    pub(crate) fn trial_failed(&self, running: &Running, failure: TrialFailure) {
        // Whoever would return to the module before is gone only when all of this is.
        let _ = self.failed_trials.send((running.digest(), failure));
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
        let (filled, fills) = filled.into_iter().unzip();
        let _ = self.fills.set(fills);
        self.settled.notify_one();
        filled
    }

    fn start(
        &self,
        kind: &ChildKind,
        namespace: &Option<String>,
        labels: String,
        tasks: &mut JoinSet<()>,
        on_change: impl Fn(&Object) + Send + Sync + 'static,
    ) -> (oneshot::Receiver<()>, Arc<Fill>) {
        let (filled, is_filled) = oneshot::channel();
        let fill = Arc::new(Fill::new(&self.settled));
        let watch = Watch {
            served: kind.served.clone(),
            namespace: namespace
                .clone()
                .filter(|_| kind.served.scope == Scope::Namespaced),
            labels,
            cache: kind.cache.clone(),
            fill: Arc::clone(&fill),
        };
        tasks.spawn(watch.run(self.client.clone(), filled, on_change));
        (is_filled, fill)
    }

    fn child_changed(&self, child: &Object) {
        for uid in child.parent_uids() {
            if let Some(parent) = self.parents.cache.key_of(uid) {
                self.work.change(|queue| queue.add(parent));
            }
        }
    }

    /// A measured and traced pass.
    async fn look_at(&self, key: &Key, is_retry: bool) {
        let stopwatch = self.meters.begin();
        let (handler, kind) = (&self.grant.handler, &self.parents.served.kind.kind);
        let span = tracing::info_span!(
            target: TRACES, "reconcile", %handler, %kind,
            namespace = key.namespace.as_deref(), name = &*key.name, outcome = tracing::field::Empty,
        );
        let looked = self.reconcile(key, is_retry).instrument(span.clone()).await;
        span.record("outcome", looked.as_str());
        stopwatch.looked(looked);
    }

    async fn worker(self: Arc<Self>) {
        loop {
            let task = self.work.next().await;
            let key: &Key = match &task {
                Task::Reconcile(key) | Task::Retry(key) | Task::Report(key) => key,
            };
            match &task {
                Task::Reconcile(key) => self.look_at(key, false).await,
                Task::Retry(key) => self.look_at(key, true).await,
                Task::Report(key) => self.report(key).await,
            }
            self.work.done(key);
        }
    }
}

impl ChildKind {
    pub(crate) fn new(served: Served) -> Self {
        Self {
            served,
            cache: Arc::default(),
        }
    }
}
