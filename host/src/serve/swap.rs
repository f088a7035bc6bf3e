use anyhow::{Result, anyhow};
use handler_host_cluster::resource::PreviewCounts;
use handler_host_cluster::{FailedTrial, Serving, ServingNews, SwapOutcome};
use handler_host_core::{Digest, TrialFailure};
use handler_host_registry::Rejected;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::desk::Role;
use super::loaded::Loaded;
use super::preview::counts;
use super::stage::{Stage, StageNews};
use super::steward::{AGAIN, Steward};

/// What a steward does with modules that may take over.
impl Steward {
    /// Publishes a module: on trial beside the good one, or at once, which makes it the good one.
    pub(super) async fn take_over(&mut self, loaded: Loaded, is_on_trial: bool) -> Result<()> {
        let to = loaded.digest();
        let is_other = |running: &Loaded| running.digest() != to;
        if self.running.as_ref().is_some_and(is_other)
            && self.stage.serving().is_some_and(Serving::has_proved_itself)
        {
            // Else a bad module would take the good one that it replaces along.
            self.end_trial().await?;
        }
        let from = self.running.as_ref().map(Loaded::digest);
        let ratio = self.settings.rollout.max_failure_ratio;
        let ratio = (is_on_trial && self.good.is_some()).then_some(ratio);
        if let Some(serving) = self.stage.serving() {
            serving.swap(loaded.active.clone(), ratio)?;
            self.trial_ends = ratio.map(|_| Instant::now() + self.settings.rollout.window);
        }
        let limit = self.settings.call_limits.memory;
        self.meters.module_is(Some(to), limit);
        if from != Some(to) {
            self.meters.swapped(SwapOutcome::Loaded);
            let from = from.map_or_else(|| "none".to_owned(), |from| from.short());
            tracing::info!(handler = %self.settings.name, %from, to = %to.short(), origin = %loaded.fetched.origin, "swapped the module");
        }
        self.view.took_over(&loaded, from);
        self.held = None;
        self.running = Some(loaded.clone());
        if ratio.is_none() {
            self.keep(loaded).await;
        }
        self.serve()
    }

    /// The module proved itself, or has nothing to prove.
    async fn keep(&mut self, loaded: Loaded) {
        self.host.keep_good(&self.key, &loaded.fetched).await;
        self.good = Some(loaded);
    }

    /// Keeps a module waiting for approval, and looks what it would do meanwhile.
    pub(super) fn hold(&mut self, candidate: Loaded) {
        let digest = candidate.digest();
        self.view.held(digest);
        self.previews.abort_all();
        let (host, settings) = (self.host.clone(), self.settings.clone());
        let client = self.client.client.clone();
        let active = candidate.active.clone();
        self.previews
            .spawn(async move { (digest, counts(&client, &host, &settings, active).await) });
        self.held = Some(candidate);
    }

    pub(super) fn previewed(
        &mut self,
        previewed: Result<(Digest, Result<PreviewCounts, String>), JoinError>,
    ) {
        let held = self.held.as_ref().map(Loaded::digest);
        let (digest, counts) = match previewed {
            Ok(previewed) => previewed,
            // Another one took its place.
            Err(error) if error.is_cancelled() => return,
            Err(error) => match held {
                Some(held) => (held, Err(format!("the host failed: {error}"))),
                None => return,
            },
        };
        if held == Some(digest) && counts.is_err() {
            self.again_at = Some(Instant::now() + AGAIN);
        }
        self.view.previewed(digest, counts);
    }

    /// Goes on to serving when the kinds are there.
    pub(super) async fn advance(&mut self, news: StageNews) -> Result<()> {
        match news {
            StageNews::Missing => Ok(()),
            StageNews::Found(Ok(kinds)) => {
                match Stage::observe(*kinds, &self.settings.name, &self.host, &self.client) {
                    Ok(stage) => {
                        self.stage = stage;
                        self.serve()
                    }
                    Err(error) => self.refuse_for_good(&error.to_string()),
                }
            }
            StageNews::Found(Err(error)) => self.refuse_for_good(&error.to_string()),
            // How it stands is told after each news.
            StageNews::Serving(ServingNews::Warm) => Ok(()),
            StageNews::Serving(ServingNews::FailedTrial(failed)) => self.trial_failed(failed).await,
            StageNews::Serving(ServingNews::Ended(error)) => Err(error.into()),
        }
    }

    /// Serves, if kinds and a module are there: with the good one, beside which another is on trial.
    fn serve(&mut self) -> Result<()> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let Some(observed) = self.stage.take_ready() else {
            return Ok(());
        };
        let first = self.good.as_ref().unwrap_or(running).active.clone();
        let (actors, options) = (self.actors(), &self.host.options);
        match Serving::start(&actors, observed, options, first) {
            Ok(serving) => {
                if self.is_on_trial() {
                    let rollout = self.settings.rollout;
                    serving.swap(running.active.clone(), Some(rollout.max_failure_ratio))?;
                    self.trial_ends = Some(Instant::now() + rollout.window);
                }
                self.stage = Stage::Serving(serving);
                Ok(())
            }
            Err(error) => self.refuse_for_good(&error.to_string()),
        }
    }

    /// As the cluster is, this handler cannot be served.
    fn refuse_for_good(&mut self, message: &str) -> Result<()> {
        match self.role {
            Role::Only => Err(anyhow!("{message}")),
            Role::OneOfMany => {
                self.stage = Stage::Refused(message.to_owned());
                Ok(())
            }
        }
    }

    async fn trial_failed(&mut self, (digest, failure): FailedTrial) -> Result<()> {
        // Else it is news of a module that was replaced meanwhile.
        if self.running.as_ref().map(Loaded::digest) == Some(digest) {
            self.roll_back(digest, &failure).await?;
        }
        Ok(())
    }

    /// The time of the trial is over, or another module comes.
    pub(super) async fn end_trial(&mut self) -> Result<()> {
        self.trial_ends = None;
        let (Some(running), Some(judged)) = (
            self.running.clone(),
            self.stage.serving().and_then(Serving::end_trial),
        ) else {
            return Ok(());
        };
        let digest = running.digest();
        match judged {
            Err(failure) => self.roll_back(digest, &failure).await,
            Ok(()) => {
                tracing::info!(handler = %self.settings.name, digest = %digest.short(), "the module passed its trial");
                self.keep(running).await;
                Ok(())
            }
        }
    }

    async fn roll_back(&mut self, digest: Digest, failure: &TrialFailure) -> Result<()> {
        let Some(good) = self.good.clone().filter(|_| self.is_on_trial()) else {
            return Ok(());
        };
        if let Some(serving) = self.stage.serving() {
            serving.swap(good.active.clone(), None)?;
        }
        self.trial_ends = None;
        let limit = self.settings.call_limits.memory;
        self.meters.module_is(Some(good.digest()), limit);
        self.meters.swapped(SwapOutcome::RolledBack);
        let error = format!(
            "{} of {} parents called failed that did not fail with the module before; the first: {}",
            failure.failing, failure.called, failure.first_error
        );
        let rejected = Rejected {
            digest,
            good: Some(good.digest()),
            spec: self.settings.spec,
            error,
        };
        self.view.took_over(&good, Some(digest));
        self.view.rejected(&rejected);
        self.running = Some(good);
        self.host.reject(&self.key, &rejected).await;
        self.rejected = Some(rejected);
        Ok(())
    }
}
