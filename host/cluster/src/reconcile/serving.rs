use std::sync::Arc;
use std::time::Duration;

use handler_host_core::{GrantError, Rule, TrialProgress, TrialSoFar};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::controller::{Controller, HandlerWarning, ServingOptions};
use super::running_module::{CallableModule, FailedTrial, RunningModule};
use crate::api::ApiClients;
use crate::watching::{ClusterError, WatchedKinds, missing_in_words, rules_of};

/// The parents of a handler, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParentCounts {
    /// All parents.
    pub parents: usize,
    /// The parents whose last pass failed.
    pub failing: usize,
}

/// An event of a handler that is served.
#[derive(Debug)]
pub enum ServingNews {
    /// Each watch has filled its cache, or was refused by the API server.
    Filled,
    /// The trial of a module failed.
    FailedTrial(FailedTrial),
    /// A granted kind is served otherwise than it was found.
    KindsChanged,
    /// The administrator should know something.
    Warning(HandlerWarning),
    /// A watch or a worker ended by itself, which is a defect of the host.
    Ended(ClusterError),
}

/// A handler that is being served. Its module can be swapped at any moment.
pub struct Serving {
    controller: Arc<Controller>,
    stop: Option<oneshot::Sender<Duration>>,
    task: JoinHandle<Result<(), ClusterError>>,
    failed_trials: mpsc::UnboundedReceiver<FailedTrial>,
    warnings: mpsc::UnboundedReceiver<HandlerWarning>,
    is_told_filled: bool,
}

impl Serving {
    /// Starts to serve. Parents are reconciled as soon as the caches are filled.
    ///
    /// # Errors
    ///
    /// When the module describes more than is granted.
    pub fn start(
        clients: &ApiClients,
        watched: WatchedKinds,
        options: &ServingOptions,
        active: CallableModule,
    ) -> Result<Self, GrantError> {
        let (sender, failed_trials) = mpsc::unbounded_channel();
        let (warn, warnings) = mpsc::unbounded_channel();
        let (controller, watching) =
            Controller::new(clients, watched, options, active, sender, warn)?;
        let controller = Arc::new(controller);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(
            controller
                .clone()
                .run(watching, options.concurrency, stopped),
        );
        Ok(Self {
            controller,
            stop: Some(stop),
            task,
            failed_trials,
            warnings,
            is_told_filled: false,
        })
    }

    /// Swaps the module. Calls under way end on the one before, and then every parent is reconciled. With a ratio the
    /// module is on trial until [`pass_trial`](Self::pass_trial): failures that the module before would not have had are
    /// counted, and not written into statuses or Events.
    ///
    /// # Errors
    ///
    /// When the module describes more than is granted. Nothing changes then.
    pub fn swap(
        &self,
        active: CallableModule,
        max_failure_ratio: Option<f64>,
    ) -> Result<(), GrantError> {
        let mut running = RunningModule::new(active, &self.controller.grant)?;
        if let Some(ratio) = max_failure_ratio {
            let current = self.controller.running();
            // A module that replaces one on trial is compared with the one before both.
            let before = current.before().unwrap_or(current);
            running = running.on_trial(ratio, before);
        }
        self.controller.swap_in(running);
        Ok(())
    }

    /// How the trial of the module that runs stands. One that has proven itself can be ended before its time, for
    /// instance when another module comes.
    #[must_use]
    pub fn trial(&self) -> TrialSoFar {
        let parents = self.controller.parents.cache.len();
        self.controller.running().trial(parents)
    }

    /// How the trial of the module that runs goes.
    #[must_use]
    pub fn progress(&self) -> TrialProgress {
        let parents = self.controller.parents.cache.len();
        self.controller.running().progress(parents)
    }

    /// Ends the trial of the module that runs, which passed: failures that were withheld are reported.
    pub fn pass_trial(&self) {
        self.controller.running().pass_trial();
        self.controller.revisit_all();
    }

    /// Holds all work back, or goes on.
    pub fn set_paused(&self, is_paused: bool) {
        let queue = &self.controller.queue;
        queue.change(|queue| queue.set_paused(is_paused));
    }

    /// Has every parent passed over, also if nothing changed: a request that was refused may be allowed now.
    pub fn look_again(&self) {
        self.controller.look_again();
    }

    /// The rights that serving the handler needs. `has_finalizer` says whether its parents get a finalizer.
    #[must_use]
    pub fn rules(&self, has_finalizer: bool) -> Vec<Rule> {
        let Controller {
            grant,
            parents,
            children,
            related_served,
            ..
        } = &*self.controller;
        let children = children.iter().map(|child| &child.served);
        rules_of(
            grant,
            &parents.served,
            children,
            related_served,
            has_finalizer,
        )
    }

    /// Whether each watch has filled its cache, or was refused by the API server.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.controller.fill_progress.is_filled()
    }

    /// What is missing in the cluster; None if nothing is.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        missing_in_words(&self.controller.missing)
    }

    /// Counts the parents.
    #[must_use]
    pub fn counts(&self) -> ParentCounts {
        ParentCounts {
            parents: self.controller.parents.cache.len(),
            failing: self.controller.states.failing(),
        }
    }

    /// Waits for the next event.
    pub async fn next(&mut self) -> ServingNews {
        let is_told_filled = self.is_told_filled;
        tokio::select! {
            () = self.controller.fill_progress.filled(), if !is_told_filled => {
                self.is_told_filled = true;
                ServingNews::Filled
            }
            // It never closes: the controller holds the sender.
            Some(failed) = self.failed_trials.recv() => ServingNews::FailedTrial(failed),
            () = self.controller.follower.changed() => ServingNews::KindsChanged,
            Some(warning) = self.warnings.recv() => ServingNews::Warning(warning),
            ended = &mut self.task => ServingNews::Ended(match ended {
                Ok(Ok(())) => ClusterError::Ended("no error".to_owned()),
                Ok(Err(error)) => error,
                Err(error) => ClusterError::Ended(error.to_string()),
            }),
        }
    }

    /// Stops. Calls and writes under way may take `patience` to end.
    pub async fn stop(mut self, patience: Duration) {
        if let Some(stop) = self.stop.take() {
            // The receiver is gone if the task ended already.
            let _ = stop.send(patience);
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Without a stop, watches and workers would go on unseen.
        self.task.abort();
    }
}
