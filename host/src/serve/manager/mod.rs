mod actions;
mod mailbox;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use futures::StreamExt;
use futures::stream::BoxStream;
use handler_host_cluster::resource::{HandlerStatus, TrialStatus};
use handler_host_cluster::{
    ApiClients, Authorization, Heartbeat, HeartbeatOf, Review, ServingNews, release_parents,
};
use handler_host_core::{
    Backoff, Digest, Facts, FetchedModule, GrantRequest, Kind, Now, PreviewSummary, Recalled,
    Rollout, RolloutEvent, RolloutModule, Settings, rights,
};
use handler_host_engine::Tally;
use handler_host_registry::{FetchError, follow};
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

pub(super) use mailbox::{Assignment, Mailbox, ManagerCommand};

use super::HostContext;
use super::declared::{DeclaredHandler, HandlerOrigin};
use super::modules::{LoadedModule, refused_by_source};
use super::reporter::StatusReporter;
use super::rights::authorized;
use super::stage::{ServingStage, StageNews};
use crate::client::HandlerClient;

/// How often the numbers in a Handler's status are looked at.
pub(super) const TICK: Duration = Duration::from_secs(2);
/// How long writes may take to end, beyond the longest that a call may take.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Looks after one handler: fetches its modules, watches its kinds, serves, and reports how it stands. It carries
/// out what its [`Rollout`] decides.
pub(super) struct HandlerManager {
    host: Arc<HostContext>,
    origin: HandlerOrigin,
    /// The key of its modules in the store. It holds the Handler's uid, so that a Handler which was deleted and
    /// created again with the same name does not find the modules of the one before.
    store_key: String,
    mailbox: Mailbox,
    /// Whether the Handler has its finalizer.
    is_held: bool,
    /// Whether it was told that the Handler gets no finalizer.
    is_told_unheld: bool,
    rollout: Rollout<LoadedModule>,
    stage: ServingStage,
    /// Acts in the name of the handler's account.
    client: HandlerClient,
    source: BoxStream<'static, Result<FetchedModule, FetchError>>,
    previews: JoinSet<PreviewResult>,
    /// The review of the account's rights, once it is known which it needs.
    review: Option<Review>,
    reporter: StatusReporter,
    tally: Arc<Tally>,
    heartbeat: Heartbeat,
}

/// A module, and what it would change or why that could not be found out.
type PreviewResult = (Digest, Result<PreviewSummary, String>);

/// What a manager waits for.
enum Occurrence {
    Assigned,
    Told(ManagerCommand),
    Fetched(Result<FetchedModule, FetchError>),
    Stage(StageNews),
    Previewed(Result<PreviewResult, JoinError>),
    Reviewed(Authorization),
    Woke,
    Tick,
}

/// Under what a handler's modules are kept.
pub(super) fn store_key(name: &str, uid: Option<&str>) -> String {
    match uid {
        Some(uid) => format!("{name}.{uid}"),
        None => name.to_owned(),
    }
}

impl HandlerManager {
    pub(super) fn new(
        host: Arc<HostContext>,
        origin: HandlerOrigin,
        declared: DeclaredHandler,
        settings: Settings,
        mailbox: Mailbox,
    ) -> Result<Self> {
        let DeclaredHandler {
            name,
            uid,
            generation,
            preloaded,
            ..
        } = declared;
        let heartbeat = host
            .monitoring
            .liveness
            .heartbeat(HeartbeatOf::Loop, format!("the manager of handler {name}"));
        let request = GrantRequest::from(&settings);
        Ok(Self {
            store_key: store_key(&name, uid.as_deref()),
            stage: ServingStage::look(host.clients.own(), request),
            client: host.clients.of_handler(settings.account.as_ref())?,
            source: follow(settings.module.clone(), host.access.clone()).boxed(),
            reporter: StatusReporter::to_log(&name, &host.monitoring),
            rollout: Rollout::new(settings, generation, preloaded),
            previews: JoinSet::new(),
            review: None,
            tally: Arc::default(),
            is_held: false,
            is_told_unheld: false,
            mailbox,
            heartbeat,
            origin,
            host,
        })
    }

    /// Looks after the handler until it is to stop or to retire. An error ends the host.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut assignment = self.mailbox.assignment.clone();
        // Whatever the manager is at: loading may take long, and a host that stops does not wait for it.
        let is_last = tokio::select! {
            biased;
            Ok(last) = assignment.wait_for(Assignment::is_end) => last.clone(),
            ended = self.manage() => return ended,
        };
        let deadline = self.settings().call_limits.deadline;
        let leads = self.rollout.is_leading();
        let clients = self.clients();
        let settings = self.rollout.settings().clone();
        let Self {
            stage,
            reporter,
            host,
            ..
        } = self;
        // Another host, or another manager, has the say from now on.
        drop(reporter);
        stage.stop(deadline + WRITE_TIME).await;
        match is_last {
            Assignment::Retire if leads => {
                let (name, parent) = (&settings.name, &settings.parent);
                let released = release(&clients, name, parent, &host.options.namespaces);
                tokio::select! {
                    () = released => {}
                    // The host stops: the next one goes on.
                    _ = assignment.wait_for(|it| matches!(it, Assignment::Stop)) => {}
                }
            }
            Assignment::Retire | Assignment::StandBy | Assignment::Lead(_) | Assignment::Stop => {}
        }
        Ok(())
    }

    fn settings(&self) -> &Settings {
        self.rollout.settings()
    }

    async fn manage(&mut self) -> Result<()> {
        self.take_assignment().await?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.review_rights();
            self.report();
            self.heartbeat.beat();
            let occurrence = self.next(&mut tick).await;
            self.handle(occurrence).await?;
        }
    }

    async fn next(&mut self, tick: &mut tokio::time::Interval) -> Occurrence {
        let wakes_at = self.rollout.wakes_at();
        let woken = async {
            match wakes_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = self.mailbox.assignment.changed() => Occurrence::Assigned,
            Some(command) = self.mailbox.commands.recv() => Occurrence::Told(command),
            news = self.stage.next() => Occurrence::Stage(news),
            Some(fetched) = self.source.next() => Occurrence::Fetched(fetched),
            Some(previewed) = self.previews.join_next() => Occurrence::Previewed(previewed),
            Some(found) = next_review(&mut self.review) => Occurrence::Reviewed(found),
            () = woken => Occurrence::Woke,
            _ = tick.tick() => Occurrence::Tick,
        }
    }

    async fn handle(&mut self, occurrence: Occurrence) -> Result<()> {
        let event = match occurrence {
            // How the handler stands is reported after each occurrence.
            Occurrence::Tick => {
                let described = self.rollout.described();
                if described.is_some_and(|described| described.has_finalizer) {
                    self.hold().await;
                }
                return Ok(());
            }
            Occurrence::Assigned => return self.take_assignment().await,
            Occurrence::Stage(news) => return self.advance(news).await,
            Occurrence::Told(ManagerCommand::Change(settings, generation)) => {
                RolloutEvent::Changed {
                    settings,
                    generation,
                }
            }
            Occurrence::Told(ManagerCommand::Refuse(refused, generation)) => {
                RolloutEvent::SpecRefused {
                    refused,
                    generation,
                }
            }
            Occurrence::Fetched(Ok(module)) => RolloutEvent::Fetched(module),
            Occurrence::Fetched(Err(error)) => RolloutEvent::FetchFailed(refused_by_source(&error)),
            Occurrence::Previewed(Ok((digest, result))) => {
                RolloutEvent::Previewed { digest, result }
            }
            // Another module took its place.
            Occurrence::Previewed(Err(error)) if error.is_cancelled() => return Ok(()),
            Occurrence::Previewed(Err(error)) => {
                let Some(held) = self.rollout.status().candidate else {
                    return Ok(());
                };
                RolloutEvent::Previewed {
                    digest: held.digest,
                    result: Err(format!("the host failed: {error}")),
                }
            }
            Occurrence::Reviewed(authorization) => {
                let name = &self.settings().name;
                RolloutEvent::Reviewed(authorized(
                    &authorization,
                    self.settings(),
                    &self.origin.rbac_arguments(name),
                    &self.host.options.namespaces,
                ))
            }
            Occurrence::Woke => RolloutEvent::Woke,
        };
        self.send(event).await
    }

    /// Leads or stands by, as it is told now.
    async fn take_assignment(&mut self) -> Result<()> {
        let assignment = self.mailbox.assignment.borrow_and_update().clone();
        match assignment {
            // `run` ends it.
            Assignment::Stop | Assignment::Retire => Ok(()),
            Assignment::Lead(_) if self.rollout.is_leading() => Ok(()),
            Assignment::Lead(handler) => {
                let mut kept = self.host.kept(&self.store_key).await;
                if let HandlerOrigin::Module { .. } = self.origin {
                    // It serves at once; what the file holds by now is considered afterwards.
                    let loaded = self.rollout.preloaded().last();
                    kept.good = loaded.map(|module| module.fetched().clone());
                }
                let status = handler.as_ref().and_then(|handler| handler.status.as_ref());
                let record = status.map(HandlerStatus::record).unwrap_or_default();
                if let Some(handler) = &handler {
                    let client = self.host.clients.own();
                    self.reporter =
                        StatusReporter::to_cluster(client, handler, &self.host.monitoring);
                }
                self.tally = Arc::default();
                let recalled = Recalled { record, kept };
                self.send(RolloutEvent::Leads(Box::new(recalled))).await
            }
            Assignment::StandBy if self.rollout.is_leading() => {
                let name = self.settings().name.clone();
                // From here on nothing is written: another host reports how the handler stands.
                self.reporter = StatusReporter::to_log(&name, &self.host.monitoring);
                self.previews.abort_all();
                self.send(RolloutEvent::StandsBy).await
            }
            Assignment::StandBy => Ok(()),
        }
    }

    /// Has the rollout handle an event, and carries out what it decides.
    async fn send(&mut self, event: RolloutEvent<LoadedModule>) -> Result<()> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let facts = Facts {
                now: Now {
                    instant: Instant::now(),
                    time: SystemTime::now(),
                },
                trial: self.stage.trial(),
            };
            let actions = self.rollout.handle(event, &facts);
            // First: a module that takes over while the handler is paused is not called.
            self.stage.set_paused(self.rollout.settings().is_paused);
            for action in actions {
                events.extend(self.carry_out(action).await?);
            }
        }
        Ok(())
    }

    async fn advance(&mut self, news: StageNews) -> Result<()> {
        match news {
            // How the handler stands is reported after each occurrence.
            StageNews::Progress | StageNews::Serving(ServingNews::Filled) => Ok(()),
            StageNews::KindsChanged | StageNews::Serving(ServingNews::KindsChanged) => {
                let handler = &self.settings().name;
                tracing::info!(%handler, "a kind is served otherwise than before; looking for the kinds anew");
                self.send(RolloutEvent::KindsChanged).await
            }
            StageNews::Found(Ok(kinds)) => {
                if let Some(missing) = kinds.missing() {
                    tracing::warn!(handler = %self.settings().name, "{missing}");
                }
                let name = &self.rollout.settings().name;
                match ServingStage::watch(*kinds, name, &self.host, &self.client) {
                    Ok(stage) => {
                        self.stage = stage;
                        self.send(RolloutEvent::KindsWatched).await
                    }
                    Err(error) => self.refuse_for_good(&error.to_string()),
                }
            }
            StageNews::Found(Err(error)) => self.refuse_for_good(&error.to_string()),
            StageNews::Serving(ServingNews::FailedTrial((digest, failure))) => {
                self.send(RolloutEvent::TrialFailed { digest, failure })
                    .await
            }
            StageNews::Serving(ServingNews::Warning(warning)) => {
                self.reporter.warn(&warning);
                Ok(())
            }
            StageNews::Serving(ServingNews::Ended(error)) => Err(error.into()),
        }
    }

    /// Has the rights reviewed that serving takes now, unless that goes on already.
    fn review_rights(&mut self) {
        if !self.rollout.is_leading() {
            return;
        }
        // As the status says it, by which `rbac` goes.
        let described = self.rollout.described();
        let has_finalizer = described.is_some_and(|described| described.has_finalizer);
        let Some(rules) = self.stage.rules(has_finalizer) else {
            return;
        };
        let rights = rights(&rules, &self.host.options.namespaces);
        if self.review.as_ref().map(Review::rights) == Some(&rights) {
            return;
        }
        let account = self.settings().account.clone();
        let refused = self.client.refused.clone();
        self.review = Some(Review::start(self.clients(), account, rights, refused));
    }

    /// Reports how the handler stands.
    fn report(&mut self) {
        let settings = self.rollout.settings();
        let waits_for = if self.rollout.is_pending() {
            Some("its module is being loaded".to_owned())
        } else {
            self.stage.waits_for()
        };
        let readiness = &self.host.monitoring.readiness;
        readiness.waits_for(&settings.name, waits_for);
        if !self.rollout.is_leading() {
            return;
        }
        let running = self.rollout.running().map(RolloutModule::digest);
        let metrics = self.reporter.metrics();
        metrics.module_is(running, running.map_or(0, |_| settings.call_limits.memory));
        let counts = self.stage.counts();
        if let Some(counts) = counts {
            metrics.parents_are(counts.parents, counts.failing);
        }
        let conditions = self.rollout.conditions(&self.stage.state());
        let calls = self.tally.counts();
        let status = HandlerStatus {
            parents: counts.map(|counts| number(counts.parents)),
            failing_parents: counts.map(|counts| number(counts.failing)),
            calls: Some(number(calls.calls)),
            memo_hits: Some(number(calls.hits)),
            trial: self
                .rollout
                .trial_until()
                .map(|until| TrialStatus::new(until, self.stage.progress())),
            ..HandlerStatus::of(&self.rollout, &conditions)
        };
        self.reporter.report(conditions, status);
    }
}

/// Lets all parents of a handler go that nobody serves any more, however long that takes.
pub(super) async fn release(
    clients: &ApiClients,
    handler: &str,
    parent: &Kind,
    namespaces: &[String],
) {
    let release = || release_parents(clients, handler, parent, namespaces);
    until_done(release, |problem| {
        tracing::warn!(%handler, "its parents are not let go: {problem}; trying again. Give the right, or take the finalizer off by hand");
    })
    .await;
}

/// Does something again and again until it succeeds, with growing delays. `tell` is called once, at the first failure.
pub(super) async fn until_done<F>(what: impl Fn() -> F, tell: impl FnOnce(&str))
where
    F: Future<Output = Result<(), String>>,
{
    let mut tell = Some(tell);
    let mut attempts = 0_u32;
    while let Err(problem) = what().await {
        if let Some(tell) = tell.take() {
            tell(&problem);
        }
        attempts = attempts.saturating_add(1);
        tokio::time::sleep(Backoff::default().delay(attempts, fastrand::f64())).await;
    }
}

/// A count as statuses write it.
fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Waits for news of a review, if there is one.
async fn next_review(review: &mut Option<Review>) -> Option<Authorization> {
    match review {
        Some(review) => review.next().await,
        None => std::future::pending().await,
    }
}
