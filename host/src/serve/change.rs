use std::time::Duration;

use anyhow::Result;
use handler_host_cluster::{SwapOutcome, Wanted};
use handler_host_core::Settings;
use handler_host_registry::follow;

use super::loaded::Loaded;
use super::stage::Stage;
use super::steward::{Steward, WRITES_PATIENCE};

/// What a steward does when its Handler changes.
impl Steward {
    pub(super) async fn change(
        &mut self,
        settings: Settings,
        generation: Option<i64>,
    ) -> Result<()> {
        let before = std::mem::replace(&mut self.settings, settings);
        self.view.change(&self.settings, generation);
        let is_changed = before.spec != self.settings.spec;
        if is_changed {
            self.rejected = None;
            self.held = None;
            self.host.clear_rejected(&self.key).await;
        }
        let is_regranted = Wanted::from(&self.settings) != Wanted::from(&before);
        if is_regranted || before.account != self.settings.account {
            self.client = self
                .host
                .clients
                .of_handler(self.settings.account.as_ref())?;
            self.regrant(before.call_limits.deadline).await;
        }
        if before.module != self.settings.module {
            self.latest = None;
            self.view.begin_anew();
            self.view.source_is(None);
            let access = self.host.access.clone();
            self.source = Box::pin(follow(self.settings.module.clone(), access));
            return Ok(());
        }
        let is_approved = self.held.as_ref().map(Loaded::digest) == self.settings.approved;
        if is_changed {
            self.view.begin_anew();
            self.renew().await?;
        }
        if is_changed || (self.held.is_some() && is_approved) {
            return self.consider().await;
        }
        Ok(())
    }

    /// The spec changed, and the module that runs is not what the source gave last: it goes on, but with the
    /// config and limits of now, if it takes them.
    async fn renew(&mut self) -> Result<()> {
        let Some(running) = self.running.clone() else {
            return Ok(());
        };
        if self.latest.as_ref().map(|latest| latest.digest) == Some(running.digest()) {
            return Ok(());
        }
        match self.load(running.fetched).await {
            Ok(renewed) => self.take_over(renewed, self.is_on_trial()).await,
            Err(refused) => {
                self.meters.swapped(SwapOutcome::Refused);
                self.view.refuse(refused);
                Ok(())
            }
        }
    }

    /// Other kinds, and another account, are other watches: what is there ends and begins anew, with the modules that are still
    /// granted what they describe. What is granted no more is not granted a moment longer.
    async fn regrant(&mut self, deadline: Duration) {
        let wanted = Wanted::from(&self.settings);
        let is_granted = |loaded: &Loaded| {
            let grant = wanted.grant();
            grant.is_ok_and(|grant| grant.narrowed_to(&loaded.active.description).is_ok())
        };
        self.good = self.good.take().filter(is_granted);
        self.running = self.running.take().filter(is_granted);
        self.running = self.running.take().or_else(|| self.good.clone());
        self.good = self.good.take().or_else(|| self.running.clone());
        self.trial_ends = None;
        self.review = None;
        self.view.authorized = None;
        if self.running.is_none() {
            self.view.lost_module();
            self.meters.module_is(None, 0);
        }
        let looking = Stage::look(self.host.clients.own(), wanted);
        let stage = std::mem::replace(&mut self.stage, looking);
        stage.stop(deadline + WRITES_PATIENCE).await;
    }
}
