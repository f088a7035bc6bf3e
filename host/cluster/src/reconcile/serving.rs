use std::sync::Arc;
use std::time::Duration;

use handler_host_core::{GrantError, Rule, Trial, TrialFailure};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::controller::{Controller, ServingOptions};
use super::running_module::{Active, FailedTrial, RunningModule};
use crate::api::ApiClients;
use crate::watching::{ClusterError, WatchedKinds, rules_of};

/// How a handler's parents stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParentCounts {
    /// Parents there are.
    pub parents: usize,
    /// Those whose last pass failed.
    pub failing: usize,
}

/// What happened to a handler that is served.
#[derive(Debug)]
pub enum ServingNews {
    /// Its caches are filled, or as full as the API server lets them be.
    Filled,
    /// The trial of a module failed.
    FailedTrial(FailedTrial),
    /// A part of it ended by itself, which is a defect of the host.
    Ended(ClusterError),
}

/// A handler that is being served, whose module can be swapped at any moment.
pub struct Serving {
    controller: Arc<Controller>,
    stop: Option<oneshot::Sender<Duration>>,
    task: JoinHandle<Result<(), ClusterError>>,
    failed_trials: mpsc::UnboundedReceiver<FailedTrial>,
    is_told_filled: bool,
}

impl Serving {
    /// Starts to serve, as soon as what is observed is known.
    ///
    /// # Errors
    ///
    /// When the module describes more than is granted.
    pub fn start(
        clients: &ApiClients,
        watched: WatchedKinds,
        options: &ServingOptions,
        active: Active,
    ) -> Result<Self, GrantError> {
        let (sender, failed_trials) = mpsc::unbounded_channel();
        let (controller, watching) = Controller::new(clients, watched, options, active, sender)?;
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
            is_told_filled: false,
        })
    }

    /// Publishes another module. Calls under way end on the one before; then every parent is looked at
    /// again. With a ratio the module is on trial until [`pass_trial`](Self::pass_trial): what fails newly is
    /// withheld from the parents.
    ///
    /// # Errors
    ///
    /// When the module describes more than is granted; then nothing changes.
    pub fn swap(&self, active: Active, max_failure_ratio: Option<f64>) -> Result<(), GrantError> {
        let mut running = RunningModule::new(active, &self.controller.grant)?;
        if let Some(ratio) = max_failure_ratio {
            let current = self.controller.running();
            // A module that replaces one on trial is measured by the one before both.
            let before = current.before().unwrap_or(current);
            running = running.on_trial(Trial::new(ratio), before);
        }
        self.controller.swap_in(running);
        Ok(())
    }

    /// How the trial of the module that runs stands.
    #[must_use]
    pub fn trial(&self) -> TrialSoFar {
        let parents = self.controller.parents.cache.len();
        self.controller.running().trial(parents)
    }

    /// Ends the trial of the module that runs, which passed: failures that were withheld are reported.
    pub fn pass_trial(&self) {
        self.controller.running().pass_trial();
        self.controller.revisit_all();
    }

    /// Looks at every parent again: what was refused may be granted now.
    pub fn look_again(&self) {
        self.controller.look_again();
    }

    /// The rights that serving takes, with parents that get a finalizer or not.
    #[must_use]
    pub fn rules(&self, has_finalizer: bool) -> Vec<Rule> {
        let Controller {
            grant,
            parents,
            children,
            ..
        } = &*self.controller;
        let children = children.iter().map(|child| &child.served);
        rules_of(grant, &parents.served, children, has_finalizer)
    }

    /// Whether its caches are filled, or as full as the API server lets them be.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.controller.fill_progress.is_filled()
    }

    /// How its parents stand now.
    #[must_use]
    pub fn counts(&self) -> ParentCounts {
        ParentCounts {
            parents: self.controller.parents.cache.len(),
            failing: self.controller.states.failing(),
        }
    }

    /// Waits for something to happen that is for whoever swaps.
    pub async fn next(&mut self) -> ServingNews {
        let is_told_filled = self.is_told_filled;
        tokio::select! {
            () = self.controller.fill_progress.filled(), if !is_told_filled => {
                self.is_told_filled = true;
                ServingNews::Filled
            }
            // The controller holds the sender as long as this lives.
            Some(failed) = self.failed_trials.recv() => ServingNews::FailedTrial(failed),
            ended = &mut self.task => ServingNews::Ended(match ended {
                Ok(Ok(())) => ClusterError::Ended("no error".to_owned()),
                Ok(Err(error)) => error,
                Err(error) => ClusterError::Ended(error.to_string()),
            }),
        }
    }

    /// Stops for good, and takes the handler's finalizer off its parents: nobody would ever do so again.
    pub async fn retire(self, patience: Duration) {
        let controller = self.controller.clone();
        self.stop(patience).await;
        controller.let_parents_go().await;
    }

    /// Stops: lets calls and writes under way end, for at most this long.
    pub async fn stop(mut self, patience: Duration) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens if it ended already.
            let _ = stop.send(patience);
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Also where it was not stopped: watches and workers must not go on unseen.
        self.task.abort();
    }
}
