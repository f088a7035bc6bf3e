use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use handler_host_core::{
    Backoff, FieldPath, Grant, GrantError, Key, Kind, Scope, Task, TrialFailure, parents_warning,
};
use kube::Client;
use kube::runtime::events::Reporter;
use parking_lot::RwLock;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::answer_memory::{AnswerMemory, HandlerAnswers};
use super::parent_states::ParentStates;
use super::running_module::{CallableModule, FailedTrial, RunningModule};
use super::write_budget::WriteBudget;
use crate::api::{ApiClients, ProblemLog, ServedKind};
use crate::health::{HeartbeatOf, Liveness};
use crate::metrics::{HandlerMetrics, LabelValue as _, TRACES};
use crate::watching::{
    Cache, ClusterError, ContestedNames, FillProgress, KindsFollower, RelatedKinds, WatchedKind,
    WatchedKinds, WorkQueue,
};

/// How a handler is served.
#[derive(Clone, Debug)]
pub struct ServingOptions {
    /// The namespaces whose parents it serves; empty for all.
    pub namespaces: Vec<String>,
    /// How many parents are reconciled at a time; at least 1.
    pub concurrency: usize,
    /// The least time between two parents that are reconciled again since the module was swapped.
    pub revisit_interval: Duration,
    /// The memory for the answers of all handlers.
    pub answers: AnswerMemory,
    /// Where the workers show that they make progress.
    pub liveness: Liveness,
}

/// The watches of a controller. They end with it.
pub(crate) struct Watching {
    watches: JoinSet<()>,
    filled: Vec<oneshot::Receiver<()>>,
}

/// Something about a handler that its administrator should know, though it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerWarning {
    /// The reason of its Event.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The controller of one handler.
pub(crate) struct Controller {
    /// Publishes Events.
    pub(crate) host: Client,
    /// Reads and writes parents and children, in the name of the handler's account.
    pub(crate) client: Client,
    /// Everything that is granted. The module that runs may ask for less.
    pub(crate) grant: Grant,
    pub(crate) parents: WatchedKind,
    pub(crate) children: Vec<WatchedKind>,
    pub(super) related: Arc<RelatedKinds>,
    /// The namespaces, if parents are selected by them.
    pub(super) namespaces: Option<Arc<Cache>>,
    pub(crate) states: ParentStates,
    pub(crate) contested: Arc<ContestedNames>,
    pub(crate) queue: Arc<WorkQueue>,
    pub(crate) backoff: Backoff,
    pub(crate) reporter: Reporter,
    pub(crate) event_problems: ProblemLog,
    pub(crate) write_problems: ProblemLog,
    pub(crate) metrics: Arc<HandlerMetrics>,
    liveness: Liveness,
    pub(crate) fill_progress: FillProgress,
    running: RwLock<Arc<RunningModule>>,
    /// Whether a status was too large to be looked at, which is told once.
    pub(super) told_large_status: AtomicBool,
    /// The fields of a parent's status that the API server does not keep.
    pub(crate) dropped: RwLock<BTreeSet<FieldPath>>,
    /// The granted kinds of related objects that are served.
    pub(super) related_served: Vec<ServedKind>,
    /// The granted kinds of children and of related objects that are not served.
    pub(super) missing: Vec<Kind>,
    /// Notices when kinds are served otherwise.
    pub(super) follower: Arc<KindsFollower>,
    pub(crate) budget: WriteBudget,
    pub(crate) answers: HandlerAnswers,
    failed_trials: UnboundedSender<FailedTrial>,
    warnings: UnboundedSender<HandlerWarning>,
}

impl Controller {
    pub(crate) fn new(
        clients: &ApiClients,
        watched: WatchedKinds,
        options: &ServingOptions,
        active: CallableModule,
        failed_trials: UnboundedSender<FailedTrial>,
        warnings: UnboundedSender<HandlerWarning>,
    ) -> Result<(Self, Watching), GrantError> {
        let WatchedKinds {
            grant,
            parents,
            children,
            contested,
            queue,
            watches,
            filled,
            fill_progress,
            metrics,
            related_served,
            related,
            namespaces,
            missing,
            follower,
            ..
        } = watched;
        let running = RunningModule::new(active, &grant)?;
        let reporter = Reporter {
            controller: grant.field_manager(),
            instance: None,
        };
        metrics.workers_are(options.concurrency.max(1));
        queue.change(|queue| queue.set_revisit_interval(options.revisit_interval));
        let controller = Self {
            host: clients.host.clone(),
            client: clients.handler.clone(),
            grant,
            parents,
            children,
            related,
            namespaces,
            states: ParentStates::default(),
            contested,
            queue,
            backoff: Backoff::default(),
            reporter,
            event_problems: ProblemLog::with_consequence(
                "publishing Events",
                "the Event is dropped",
            ),
            write_problems: ProblemLog::of("applying children"),
            metrics,
            liveness: options.liveness.clone(),
            fill_progress,
            running: RwLock::new(Arc::new(running)),
            told_large_status: AtomicBool::new(false),
            dropped: RwLock::default(),
            related_served,
            missing,
            follower,
            budget: WriteBudget::new(warnings.clone()),
            answers: options.answers.of_handler(),
            failed_trials,
            warnings,
        };
        controller.warn_of_parents(&options.namespaces);
        Ok((controller, Watching { watches, filled }))
    }

    /// Warns of parents that are dangerous to serve.
    fn warn_of_parents(&self, namespaces: &[String]) {
        let is_namespaced = self.grant.parent_scope == Scope::Namespaced;
        if let Some(message) = parents_warning(&self.grant.parent, is_namespaced, namespaces) {
            self.warn("BroadGrant", message);
        }
    }

    /// Serves until `stopped` is sent, with the time that running work may take to end.
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
            // A sender is dropped only when its watch ends, and so the host.
            _ = futures::future::join_all(filled) => {}
            _ = &mut stopped => return Ok(()),
        }
        // Before the parents are listed, so that each change from now on adds its parent.
        let what = format!("the workers of handler {}", self.grant.handler);
        self.queue
            .begin(self.liveness.heartbeat(HeartbeatOf::Loop, what));
        let parents = self.parents.cache.keys();
        tracing::info!(handler = %self.grant.handler, parents = parents.len(), "serving {}", self.grant.parent);
        for key in self.unserved_first(parents) {
            self.queue.change(|queue| queue.add(key));
        }
        for _ in 0..concurrency.max(1) {
            tasks.spawn(self.clone().worker());
        }
        let patience = tokio::select! {
            // If the sender is dropped, so is this task.
            patience = &mut stopped => patience.unwrap_or_default(),
            // Workers and watches run for ever. Without one of them the host would look alive and do nothing.
            Some(ended) = tasks.join_next() => {
                let why = ended.map_or_else(|error| error.to_string(), |()| "no error".to_owned());
                return Err(ClusterError::Ended(why));
            }
        };
        tracing::info!(handler = %self.grant.handler, "stopping: letting what is under way end");
        self.queue.stop(patience).await;
        Ok(())
    }

    /// Sorts parents without children to the front: the host before may have left some waiting.
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

    /// Replaces the module that runs, and has every parent reconciled.
    pub(crate) fn swap_in(&self, running: RunningModule) {
        *self.running.write() = Arc::new(running);
        self.revisit_all();
    }

    /// Has every parent reconciled, at a bounded rate.
    pub(crate) fn revisit_all(&self) {
        let parents = self.parents.cache.keys();
        self.queue.change(|queue| {
            for key in parents {
                queue.revisit(key);
            }
        });
    }

    /// Has every parent passed over, also if nothing changed: a request that was refused may be allowed now.
    pub(crate) fn look_again(&self) {
        self.states.forget_fingerprints();
        self.revisit_all();
    }

    /// Announces that the trial of a module failed.
    pub(crate) fn trial_failed(&self, running: &RunningModule, failure: TrialFailure) {
        // The receiver is gone only when the whole controller is being dropped.
        let _ = self.failed_trials.send((running.digest(), failure));
    }

    /// Warns of something about the handler that its administrator should know.
    pub(crate) fn warn(&self, reason: &'static str, message: String) {
        // As above.
        let _ = self.warnings.send(HandlerWarning { reason, message });
    }

    /// Reconciles a parent, measured and traced.
    async fn reconcile_measured(&self, key: &Key, is_retry: bool) {
        let stopwatch = self.metrics.begin();
        let (handler, kind) = (&self.grant.handler, &self.parents.served.kind.kind);
        let span = tracing::info_span!(
            target: TRACES, "reconcile", %handler, %kind,
            namespace = key.namespace.as_deref(), name = &*key.name, outcome = tracing::field::Empty,
        );
        let result = self.reconcile(key, is_retry).instrument(span.clone()).await;
        span.record("outcome", result.as_str());
        stopwatch.finish(result);
    }

    async fn worker(self: Arc<Self>) {
        loop {
            let task = self.queue.next().await;
            let key: &Key = match &task {
                Task::Reconcile(key) | Task::Retry(key) | Task::Report(key) => key,
            };
            match &task {
                Task::Reconcile(key) => self.reconcile_measured(key, false).await,
                Task::Retry(key) => self.reconcile_measured(key, true).await,
                Task::Report(key) => self.report(key).await,
            }
            self.queue.done(key);
        }
    }
}
