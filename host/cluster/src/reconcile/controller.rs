use std::sync::Arc;
use std::time::Duration;

use handler_host_core::{Backoff, Grant, GrantError, Key, Task, TrialFailure};
use kube::Client;
use kube::runtime::events::Reporter;
use parking_lot::RwLock;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::parent_states::ParentStates;
use super::running_module::{Active, FailedTrial, RunningModule};
use crate::api::{ApiClients, ProblemLog};
use crate::health::{HeartbeatOf, Liveness};
use crate::metrics::{HandlerMetrics, LabelValue as _, TRACES};
use crate::watching::{
    ClusterError, ContestedNames, FillProgress, WatchedKind, WatchedKinds, WorkQueue,
};

/// How a handler is served.
#[derive(Clone, Debug)]
pub struct ServingOptions {
    /// The namespaces whose parents it serves; empty for all.
    pub namespaces: Vec<String>,
    /// Parents worked on at a time; at least 1.
    pub concurrency: usize,
    /// The least time between two parents that are looked at again after a swap.
    pub revisit_interval: Duration,
    /// Where it shows that it is alive.
    pub liveness: Liveness,
}

/// The watches of a controller, which end with it.
pub(crate) struct Watching {
    watches: JoinSet<()>,
    filled: Vec<oneshot::Receiver<()>>,
}

/// One handler's controller.
pub(crate) struct Controller {
    /// Publishes Events.
    pub(crate) host: Client,
    /// Reads and writes parents and children, in the name of the handler's account.
    pub(crate) client: Client,
    /// All that is granted; what the module that runs asks for may be less.
    pub(crate) grant: Grant,
    pub(crate) parents: WatchedKind,
    pub(crate) children: Vec<WatchedKind>,
    pub(crate) states: ParentStates,
    pub(crate) conflicts: Arc<ContestedNames>,
    pub(crate) work: Arc<WorkQueue>,
    pub(crate) backoff: Backoff,
    pub(crate) reporter: Reporter,
    pub(crate) event_problems: ProblemLog,
    pub(crate) write_problems: ProblemLog,
    pub(crate) metrics: Arc<HandlerMetrics>,
    liveness: Liveness,
    pub(crate) fill_progress: FillProgress,
    running: RwLock<Arc<RunningModule>>,
    failed_trials: UnboundedSender<FailedTrial>,
}

impl Controller {
    pub(crate) fn new(
        clients: &ApiClients,
        watched: WatchedKinds,
        options: &ServingOptions,
        active: Active,
        failed_trials: UnboundedSender<FailedTrial>,
    ) -> Result<(Self, Watching), GrantError> {
        let WatchedKinds {
            grant,
            parents,
            children,
            conflicts,
            work,
            watches,
            filled,
            fill_progress,
            metrics,
        } = watched;
        let running = RunningModule::new(active, &grant)?;
        let reporter = Reporter {
            controller: grant.field_manager(),
            instance: None,
        };
        metrics.workers_are(options.concurrency.max(1));
        work.change(|queue| queue.set_revisit_interval(options.revisit_interval));
        let controller = Self {
            host: clients.host.clone(),
            client: clients.handler.clone(),
            grant,
            parents,
            children,
            states: ParentStates::default(),
            conflicts,
            work,
            backoff: Backoff::default(),
            reporter,
            event_problems: ProblemLog::with_consequence(
                "publishing Events",
                "the Event is dropped",
            ),
            write_problems: ProblemLog::at("applying children"),
            metrics,
            liveness: options.liveness.clone(),
            fill_progress,
            running: RwLock::new(Arc::new(running)),
            failed_trials,
        };
        Ok((controller, Watching { watches, filled }))
    }

    /// Serves until `stopped`, which gives how long what is under way may take to end.
    pub(crate) async fn run(
        self: Arc<Self>,
        watching: Watching,
        concurrency: usize,
        stopped: oneshot::Receiver<Duration>,
    ) -> Result<(), ClusterError> {
        let mut stopped = std::pin::pin!(stopped);
        let Watching {
            watches: mut tasks,
            filled,
        } = watching;
        tokio::select! {
            // A sender that is dropped means a watch that ended, which only the end of the host does.
            _ = futures::future::join_all(filled) => {}
            _ = &mut stopped => return Ok(()),
        }
        // First this: what changes from now on adds itself.
        let what = format!("the workers of handler {}", self.grant.handler);
        self.work
            .begins(self.liveness.heartbeat(HeartbeatOf::Loop, what));
        let parents = self.parents.cache.keys();
        tracing::info!(handler = %self.grant.handler, parents = parents.len(), "serving {}", self.grant.parent);
        for key in self.unserved_first(parents) {
            self.work.change(|queue| queue.add(key));
        }
        for _ in 0..concurrency.max(1) {
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

    /// Parents without children first: whoever served before may have left some waiting.
    fn unserved_first(&self, mut parents: Vec<Key>) -> Vec<Key> {
        parents.sort_by_cached_key(|key| {
            let parent = self.parents.cache.get(key);
            let mut children = self.children.iter();
            parent.is_some_and(|it| children.any(|kind| kind.cache.has_children_of(&it.meta.uid)))
        });
        parents
    }

    /// The module that runs now.
    pub(crate) fn running(&self) -> Arc<RunningModule> {
        self.running.read().clone()
    }

    /// Puts another module in its place, and has every parent looked at again.
    pub(crate) fn swap_in(&self, running: RunningModule) {
        *self.running.write() = Arc::new(running);
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

    /// Has every parent looked at again as if it had never been seen: what was refused may be granted now.
    pub(crate) fn look_again(&self) {
        self.states.forget_what_was_left_behind();
        self.revisit_all();
    }

    /// Says, once, that the trial of a module failed.
    pub(crate) fn trial_failed(&self, running: &RunningModule, failure: TrialFailure) {
        // Whoever would return to the module before is gone only when all of this is.
        let _ = self.failed_trials.send((running.digest(), failure));
    }

    /// A measured and traced pass.
    async fn look_at(&self, key: &Key, is_retry: bool) {
        let stopwatch = self.metrics.begin();
        let (handler, kind) = (&self.grant.handler, &self.parents.served.kind.kind);
        let span = tracing::info_span!(
            target: TRACES, "reconcile", %handler, %kind,
            namespace = key.namespace.as_deref(), name = &*key.name, outcome = tracing::field::Empty,
        );
        let result = self.reconcile(key, is_retry).instrument(span.clone()).await;
        span.record("outcome", result.as_str());
        stopwatch.came_to(result);
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
