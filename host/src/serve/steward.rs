use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::{Stream, StreamExt};
use handler_host_cluster::resource::PreviewCounts;
use handler_host_cluster::{
    Authorization, HandlerMeters, Pulse, PulseOf, Review, SwapOutcome, now,
};
use handler_host_core::{Admission, Digest, Settings, Standing};
use handler_host_engine::{Component, Tally};
use handler_host_registry::{FetchError, Fetched, Rejected, follow};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::Host;
use super::authorized;
use super::desk::{Desk, Ending, Identity, Order, Role, key, rejected};
use super::loaded::{Loaded, Refused, load};
use super::stage::{Stage, StageNews};
use super::standby::Warm;
use super::view::View;
use crate::client::HandlerClient;

/// How often the numbers in a Handler's status are looked at.
pub(super) const TICK: Duration = Duration::from_secs(2);
/// How long a stopping host lets writes end, beyond the longest that a call may take.
pub(super) const WRITES_PATIENCE: Duration = Duration::from_secs(10);
/// After what time something is tried again that a busy host or API server made fail.
pub(super) const AGAIN: Duration = Duration::from_secs(10);

/// Looks after one handler: fetches its modules, has each prove itself, swaps, and returns to the last good
/// one.
pub(crate) struct Steward {
    pub(super) host: Arc<Host>,
    pub(super) role: Role,
    pub(super) settings: Settings,
    /// Under what its modules are kept: a Handler of the same name made anew is another.
    pub(super) key: String,
    pub(super) desk: Desk,
    /// Acts in the name of the handler's account.
    pub(super) client: HandlerClient,
    pub(super) source: Pin<Box<dyn Stream<Item = Result<Fetched, FetchError>> + Send>>,
    pub(super) stage: Stage,
    pub(super) tally: Arc<Tally>,
    /// Modules that were compiled while this host stood by.
    warm: Vec<Loaded>,
    /// The module that proved itself in the host before, as the Handler's status tells.
    proven: Option<Digest>,
    pub(super) meters: Arc<HandlerMeters>,
    pulse: Arc<Pulse>,
    /// What the source gave last.
    pub(super) latest: Option<Fetched>,
    /// The module that runs, or will once the kinds are served.
    pub(super) running: Option<Loaded>,
    /// The module to return to; another than the one that runs while that is on trial.
    pub(super) good: Option<Loaded>,
    pub(super) trial_ends: Option<Instant>,
    /// The module that waits for approval.
    pub(super) held: Option<Loaded>,
    pub(super) previews: JoinSet<(Digest, Result<PreviewCounts, String>)>,
    /// When what came to grief by chance is tried again.
    pub(super) again_at: Option<Instant>,
    pub(super) rejected: Option<Rejected>,
    /// Of the account's rights, once it is known which it needs.
    pub(super) review: Option<Review>,
    pub(super) view: View,
}

enum Happening {
    Ordered(Order),
    Fetched(Result<Fetched, FetchError>),
    Stage(StageNews),
    Previewed(Result<(Digest, Result<PreviewCounts, String>), JoinError>),
    Reviewed(Authorization),
    TrialOver,
    Again,
    Tick,
}

impl Steward {
    pub(crate) fn new(
        host: Arc<Host>,
        role: Role,
        settings: Settings,
        identity: Identity,
        desk: Desk,
        warm: Warm,
    ) -> Self {
        let source = follow(settings.module.clone(), host.access.clone());
        let status = identity.status.as_ref();
        let proven = status.and_then(|status| status.proven(settings.rollout.window, &now()));
        let proven = proven.and_then(|digest| digest.parse().ok());
        let key = key(&settings.name, identity.uid.as_deref());
        let rejected = rejected(&identity, settings.spec);
        let what = format!("the steward of handler {}", settings.name);
        let pulse = host.gauges.vitals.pulse(PulseOf::Loop, what);
        Self {
            view: View::new(&settings, identity.generation, identity.status),
            source: Box::pin(source),
            stage: warm.stage,
            warm: warm.modules,
            proven,
            tally: Arc::default(),
            pulse: Arc::new(pulse),
            meters: host.gauges.meters.handler(&settings.name),
            host,
            role,
            settings,
            key,
            desk,
            client: warm.client,
            review: None,
            latest: None,
            running: None,
            good: None,
            trial_ends: None,
            held: None,
            previews: JoinSet::new(),
            again_at: None,
            rejected,
        }
    }

    /// Serves until it is to end. `first` is a module to begin with, if one was loaded already.
    pub(crate) async fn run(mut self, first: Option<Loaded>) -> Result<()> {
        let mut ending = self.desk.ending.clone();
        // Whatever it is at: loading may take long, and the host is not to wait for it.
        let how = tokio::select! {
            biased;
            Ok(how) = ending.wait_for(|how| *how != Ending::No) => *how,
            ended = self.serve_on(first) => return ended,
        };
        let patience = self.patience();
        let Self { stage, desk, .. } = self;
        // Nothing more is said: who comes after has a say now.
        drop(desk);
        match how {
            Ending::No | Ending::Stop => stage.stop(patience).await,
            Ending::Retire => stage.retire(patience).await,
        }
        Ok(())
    }

    async fn serve_on(&mut self, first: Option<Loaded>) -> Result<()> {
        match first {
            Some(first) => {
                self.latest = Some(first.fetched.clone());
                self.take_over(first, false).await?;
            }
            None => self.recall().await?,
        }
        self.tell();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.pulse.beat();
            let happening = self.next(&mut tick).await;
            self.take(happening).await?;
            self.review_rights();
            self.tell();
        }
    }

    async fn next(&mut self, tick: &mut tokio::time::Interval) -> Happening {
        tokio::select! {
            Some(order) = self.desk.orders.recv() => Happening::Ordered(order),
            news = self.stage.next() => Happening::Stage(news),
            Some(fetched) = self.source.next() => Happening::Fetched(fetched),
            Some(previewed) = self.previews.join_next() => Happening::Previewed(previewed),
            Some(found) = authorized::news(&mut self.review) => Happening::Reviewed(found),
            () = at(self.trial_ends) => Happening::TrialOver,
            () = at(self.again_at) => Happening::Again,
            _ = tick.tick() => Happening::Tick,
        }
    }

    async fn take(&mut self, happening: Happening) -> Result<()> {
        match happening {
            Happening::Ordered(Order::Change(settings, generation)) => {
                self.change(*settings, generation).await
            }
            Happening::Ordered(Order::Refuse(refused, generation)) => {
                self.view.refuse_spec(refused, generation);
                Ok(())
            }
            Happening::Fetched(Ok(fetched)) => {
                self.latest = Some(fetched);
                self.view.source_is(None);
                self.consider().await
            }
            Happening::Fetched(Err(error)) => {
                self.view.source_is(Some(Refused::fetching(&error)));
                Ok(())
            }
            Happening::Stage(news) => self.advance(news).await,
            Happening::Previewed(previewed) => {
                self.previewed(previewed);
                Ok(())
            }
            Happening::Reviewed(authorization) => self.reviewed(&authorization).await,
            Happening::TrialOver if self.lacks_rights() => {
                // A module that could not be tried proves nothing.
                self.trial_ends = Some(Instant::now() + self.settings.rollout.window);
                Ok(())
            }
            Happening::TrialOver => self.end_trial().await,
            Happening::Again => {
                self.again_at = None;
                self.consider().await
            }
            // Whatever is told anew at every turn.
            Happening::Tick => Ok(()),
        }
    }

    /// Begins with what the last host knew: the good module serves at once, whatever the source says now.
    async fn recall(&mut self) -> Result<()> {
        let kept = self.host.kept(&self.key).await;
        let rejected = kept.rejected.filter(|it| it.spec == self.settings.spec);
        self.rejected = rejected.or(self.rejected.take());
        if let Some(rejected) = &self.rejected {
            self.view.remember(rejected);
        }
        let pinned = self.settings.module.pinned;
        // What is kept may be older: another host served meanwhile.
        let mut warm = self.warm.iter();
        let proven = warm.find(|module| Some(module.digest()) == self.proven);
        let good = proven.map(|module| module.fetched.clone()).or(kept.good);
        let good = good.filter(|good| pinned.is_none_or(|pinned| pinned == good.digest));
        let Some(good) = good else {
            return Ok(());
        };
        match self.load(good).await {
            Ok(good) => self.take_over(good, false).await,
            Err(refused) => {
                // The spec was changed meanwhile; what it asks for now is on its way.
                tracing::debug!(handler = %self.settings.name, "the module kept does not do any more: {}", refused.message);
                Ok(())
            }
        }
    }

    /// Has the module that the source gave last take over, if it may.
    pub(super) async fn consider(&mut self) -> Result<()> {
        let Some(fetched) = self.latest.clone() else {
            return Ok(());
        };
        let runs = self.running.as_ref();
        let is_running = runs
            .is_some_and(|runs| runs.digest() == fetched.digest && runs.spec == self.settings.spec);
        if is_running {
            self.held = None;
            self.view.runs(&fetched.origin);
            return Ok(());
        }
        let candidate = match self.load(fetched).await {
            Ok(candidate) => candidate,
            Err(refused) => {
                self.held = None;
                self.again_at = refused.is_passing.then(|| Instant::now() + AGAIN);
                self.meters.swapped(SwapOutcome::Refused);
                self.view.refuse(refused);
                return Ok(());
            }
        };
        match self.standing().admit(candidate.digest()) {
            Admission::RolledBack => {
                if let Some(rejected) = &self.rejected {
                    self.view.rejected(rejected);
                }
                Ok(())
            }
            Admission::AwaitsApproval => {
                self.hold(candidate);
                Ok(())
            }
            Admission::OnTrial => self.take_over(candidate, true).await,
            Admission::AtOnce => self.take_over(candidate, false).await,
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            running: self.running.as_ref().map(Loaded::digest),
            good: self.good.as_ref().map(Loaded::digest),
            rejected: self.rejected.as_ref().map(|rejected| rejected.digest),
            approved: self.settings.approved,
            preview: self.settings.rollout.preview,
        }
    }

    pub(super) fn load(
        &self,
        fetched: Fetched,
    ) -> impl Future<Output = Result<Loaded, Refused>> + Send + use<> {
        let known = [&self.running, &self.good, &self.held];
        let mut known = known.into_iter().flatten().chain(&self.warm);
        let compiled: Option<Component> = known
            .find(|loaded| loaded.digest() == fetched.digest)
            .map(|loaded| loaded.component.clone());
        let (host, settings) = (self.host.clone(), self.settings.clone());
        let (tally, pulse) = (self.tally.clone(), self.pulse.clone());
        async move {
            // Many large modules at once take minutes to compile, and a restart would begin anew.
            pulse.rest();
            let loaded = load(&host, &settings, &tally, fetched, compiled).await;
            pulse.beat();
            loaded
        }
    }

    pub(super) fn is_on_trial(&self) -> bool {
        let digest = |loaded: &Option<Loaded>| loaded.as_ref().map(Loaded::digest);
        self.good.is_some() && digest(&self.good) != digest(&self.running)
    }

    fn patience(&self) -> Duration {
        self.settings.call_limits.deadline + WRITES_PATIENCE
    }
}

/// That moment; never, if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
