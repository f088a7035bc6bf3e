use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt};
use handler_host_cluster::resource::HandlerStatus;
use handler_host_cluster::{ApiClients, HandlerNews, HeartbeatOf, PARENTS_FINALIZER, hold_handler};
use handler_host_core::{
    Claim, Claims, ConditionType, HandlerCondition, HandlerReason, Kind, Refused, Settings,
};
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::HostContext;
use super::declared::{DeclaredHandler, HandlerOrigin};
use super::manager::{
    Assignment, HandlerManager, Mailbox, ManagerCommand, TICK, release, store_key, until_done,
};
use super::reporter::StatusReporter;

/// Looks after all handlers of a host. Each has a manager of its own, so that none disturbs another.
pub(crate) struct Supervisor {
    host: Arc<HostContext>,
    origin: HandlerOrigin,
    claims: Claims,
    managed: BTreeMap<String, ManagedHandler>,
    waiting: BTreeMap<String, WaitingHandler>,
    /// The Handlers that are being deleted and still have the finalizer of their parents.
    deleting: BTreeMap<String, DeclaredHandler>,
    /// By these, managers that let their parents go are told that the host stops.
    retired: Vec<watch::Sender<Assignment>>,
    /// Whether this host leads.
    leads: watch::Receiver<bool>,
    managers: JoinSet<(String, Ended)>,
    /// By these, the tasks that let the parents of deleted Handlers go are told to end.
    releases: BTreeMap<String, watch::Sender<Assignment>>,
}

/// What ended.
enum Ended {
    /// The manager of a handler.
    Manager(Result<()>),
    /// The task that let a deleted Handler and its parents go.
    Release,
}

/// A handler that has a manager.
struct ManagedHandler {
    declared: DeclaredHandler,
    /// What it has a claim to, whatever its Handler says by now.
    claim: Claim,
    commands: mpsc::UnboundedSender<ManagerCommand>,
    assignment: watch::Sender<Assignment>,
}

/// A handler that has no manager: it is refused, or the manager of one before it has not ended yet. Two managers
/// that work on one parent would answer each other's writes.
struct WaitingHandler {
    declared: DeclaredHandler,
    /// Has reported why it is refused.
    reporter: Option<StatusReporter>,
}

impl Supervisor {
    pub(crate) fn new(
        host: Arc<HostContext>,
        origin: HandlerOrigin,
        leads: watch::Receiver<bool>,
    ) -> Self {
        Self {
            host,
            origin,
            claims: Claims::default(),
            managed: BTreeMap::new(),
            waiting: BTreeMap::new(),
            deleting: BTreeMap::new(),
            retired: Vec::new(),
            leads,
            managers: JoinSet::new(),
            releases: BTreeMap::new(),
        }
    }

    /// Follows the Handlers until `stop` resolves, and serves them while this host leads; then lets what is
    /// under way end.
    pub(crate) async fn run(
        mut self,
        news: impl Stream<Item = HandlerNews>,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        let (mut news, mut stop) = (std::pin::pin!(news), std::pin::pin!(stop));
        let what = "the supervisor of all handlers".to_owned();
        let heartbeat = self
            .host
            .monitoring
            .liveness
            .heartbeat(HeartbeatOf::Loop, what);
        let mut tick = tokio::time::interval(TICK);
        loop {
            heartbeat.beat();
            let handlers = self.managed.len() + self.waiting.len();
            self.host.monitoring.metrics.handlers_are(handlers);
            tokio::select! {
                () = &mut stop => break,
                _ = tick.tick() => {}
                Some(news) = news.next() => self.take(news).await,
                Some(ended) = self.managers.join_next() => {
                    let (name, ended) = ended.context("a handler's manager ended")?;
                    let Ended::Manager(outcome) = ended else {
                        self.releases.retain(|_, release| !release.is_closed());
                        continue;
                    };
                    match &self.origin {
                        HandlerOrigin::Module { .. } => outcome?,
                        HandlerOrigin::Files(_) | HandlerOrigin::Cluster => {
                            outcome.with_context(|| format!("handler {name}"))?;
                        }
                    }
                    self.ended(&name).await;
                }
                changed = self.leads.changed() => {
                    changed.context("the election ended")?;
                    self.lead().await;
                }
            }
        }
        heartbeat.rest();
        let managed = self.managed.values().map(|it| &it.assignment);
        let ending = self.retired.iter().chain(self.releases.values());
        for assignment in managed.chain(ending) {
            assignment.send_replace(Assignment::Stop);
        }
        while self.managers.join_next().await.is_some() {}
        Ok(())
    }

    /// From now on this host leads, or stands by.
    async fn lead(&mut self) {
        let leads = *self.leads.borrow_and_update();
        for managed in self.managed.values() {
            managed
                .assignment
                .send_replace(assignment(leads, &managed.declared));
            if let Err(error) = &managed.declared.settings {
                managed.refuse(Refused::new(HandlerReason::InvalidSpec, &error.to_string()));
            }
        }
        for declared in std::mem::take(&mut self.deleting).into_values() {
            self.delete(declared).await;
        }
        // Only the host that leads reports why a Handler is refused.
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            self.declare(waiting.declared).await;
        }
    }

    async fn take(&mut self, news: HandlerNews) {
        match news {
            HandlerNews::All(handlers, unreadable) => {
                let declared: Vec<_> = handlers
                    .into_iter()
                    .map(|handler| DeclaredHandler::of(handler, &self.origin))
                    .collect();
                let is_there = |name: &String| {
                    unreadable.contains(name) || declared.iter().any(|it| it.name == *name)
                };
                let known = self.managed.keys().chain(self.waiting.keys());
                let gone: Vec<String> = known.filter(|name| !is_there(name)).cloned().collect();
                for name in gone {
                    self.remove(&name).await;
                }
                for declared in declared {
                    self.declare(declared).await;
                }
                self.host.monitoring.readiness.handlers_are_read();
            }
            HandlerNews::Applied(handler) => {
                self.declare(DeclaredHandler::of(*handler, &self.origin))
                    .await;
            }
            HandlerNews::Gone(name) => self.remove(&name).await,
        }
    }

    /// A handler is declared anew, or its declaration changed.
    pub(crate) async fn declare(&mut self, declared: DeclaredHandler) {
        if declared.is_deleting {
            return self.delete(declared).await;
        }
        let name = declared.name.clone();
        if let Some(managed) = self.managed.get_mut(&name) {
            if managed.declared.is_same_as(&declared) {
                // Its status is what a host that begins to lead goes by.
                managed.declared = declared;
                return;
            }
            if managed.declared.uid != declared.uid {
                // It was deleted and made anew, unseen in between.
                self.remove(&name).await;
            }
        }
        let settings = match &declared.settings {
            Ok(settings) => settings.clone(),
            Err(error) => {
                let refused = Refused::new(HandlerReason::InvalidSpec, &error.to_string());
                return self.refuse(declared, refused);
            }
        };
        match self.managed.get_mut(&name) {
            Some(managed) if managed.claim == Claim::of(&settings) => {
                let change = ManagerCommand::Change(Box::new(settings), declared.generation);
                managed.declared = declared;
                // This fails only if the manager has ended, and then the host ends.
                let _ = managed.commands.send(change);
            }
            // Another kind of parent, or another condition of it, is another claim.
            Some(_) => {
                self.end(&name);
                self.wait(declared, None);
            }
            None => self.claim(declared, settings),
        }
    }

    /// Serves a handler if no other one writes its condition of its kind of parent.
    fn claim(&mut self, declared: DeclaredHandler, settings: Settings) {
        let name = declared.name.clone();
        // A manager that has not ended yet still holds its claim under this name.
        if self.claims.holds(&name) {
            return self.wait(declared, None);
        }
        match self.claims.claim(&name, Claim::of(&settings)) {
            Ok(()) => {
                self.waiting.remove(&name);
                self.start(declared, settings);
            }
            Err(taken) => {
                let refused = Refused::new(HandlerReason::ParentTaken, &taken.to_string());
                self.refuse(declared, refused);
            }
        }
    }

    fn start(&mut self, declared: DeclaredHandler, settings: Settings) {
        let name = declared.name.clone();
        let (commands, received) = mpsc::unbounded_channel();
        let leads = *self.leads.borrow();
        let (assign, assigned) = watch::channel(assignment(leads, &declared));
        let mailbox = Mailbox {
            commands: received,
            assignment: assigned,
        };
        let managed = ManagedHandler {
            claim: Claim::of(&settings),
            declared: DeclaredHandler {
                preloaded: Vec::new(),
                ..declared.clone()
            },
            commands,
            assignment: assign,
        };
        let readiness = &self.host.monitoring.readiness;
        readiness.waits_for(&name, Some("its turn".to_owned()));
        let (host, origin, named) = (self.host.clone(), self.origin.clone(), name.clone());
        self.managers.spawn(async move {
            let manager = HandlerManager::new(host, origin, declared, settings, mailbox);
            let ended = match manager {
                Ok(manager) => manager.run().await,
                Err(error) => Err(error),
            };
            (named, Ended::Manager(ended))
        });
        self.managed.insert(name, managed);
    }

    fn wait(&mut self, declared: DeclaredHandler, reporter: Option<StatusReporter>) {
        let name = declared.name.clone();
        self.waiting
            .insert(name, WaitingHandler { declared, reporter });
    }

    /// A handler cannot be served as it is declared. One that is served goes on as it was.
    fn refuse(&mut self, declared: DeclaredHandler, refused: Refused) {
        let name = declared.name.clone();
        if let Some(managed) = self.managed.get_mut(&name) {
            managed.declared = declared;
            managed.refuse(refused);
            return;
        }
        self.host.monitoring.readiness.waits_for(&name, None);
        let before = self.waiting.remove(&name).and_then(|it| it.reporter);
        if !*self.leads.borrow() {
            // The host that leads reports it.
            return self.wait(declared, None);
        }
        let monitoring = &self.host.monitoring;
        let mut reporter = before.unwrap_or_else(|| match &declared.resource {
            Some(handler) => {
                StatusReporter::to_cluster(self.host.clients.own(), handler, monitoring)
            }
            None => StatusReporter::to_log(&name, monitoring),
        });
        let pending = "The Handler is refused.";
        let conditions = vec![
            HandlerCondition::new(ConditionType::Ready, refused.reason, refused.message),
            HandlerCondition::new(ConditionType::ModuleLoaded, HandlerReason::Pending, pending),
        ];
        let status = HandlerStatus::of_conditions(&conditions, declared.generation);
        reporter.report(conditions, status);
        self.wait(declared, Some(reporter));
    }

    /// A Handler is being deleted: it is not served any more. Once its parents are let go, so is the Handler.
    async fn delete(&mut self, declared: DeclaredHandler) {
        let name = declared.name.clone();
        if self.deleting.contains_key(&name) || self.releases.contains_key(&name) {
            return;
        }
        let is_managed = self.managed.contains_key(&name);
        self.remove(&name).await;
        let is_held = declared.resource.as_ref().is_some_and(|handler| {
            let finalizers = handler.metadata.finalizers.iter().flatten();
            finalizers.into_iter().any(|it| it == PARENTS_FINALIZER)
        });
        if !is_held {
            return;
        }
        // If it is managed, its manager lets the parents go, and ends then.
        if !is_managed && !self.claims.holds(&name) && *self.leads.borrow() {
            return self.let_go(declared);
        }
        self.deleting.insert(name, declared);
    }

    /// Lets a Handler go that is being deleted, and before that its parents. Parents that its manager let go already are
    /// looked for once more: it may have ended before this host began to lead.
    fn let_go(&mut self, declared: DeclaredHandler) {
        let (assign, mut assigned) = watch::channel(Assignment::Retire);
        self.releases.insert(declared.name.clone(), assign);
        let (host, name) = (self.host.clone(), declared.name.clone());
        self.managers.spawn(async move {
            let own = host.clients.own();
            let released = async {
                let parent = declared
                    .resource
                    .as_ref()
                    .map(|handler| &handler.spec.parent);
                let parent = parent.and_then(|it| Kind::new(&it.api_version, &it.kind).ok());
                if let Some(parent) = parent {
                    let account = declared.settings.as_ref().ok();
                    let account = account.and_then(|settings| settings.account.clone());
                    let client = host.clients.of_handler(account.as_ref());
                    let clients = ApiClients {
                        host: own.clone(),
                        handler: client.map_or_else(|_| own.clone(), |it| it.client),
                    };
                    let namespaces = &host.options.namespaces;
                    release(&clients, &declared.name, &parent, namespaces).await;
                }
                let_handler_go(&own, &declared.name, declared.uid.as_deref()).await;
            };
            tokio::select! {
                () = released => {}
                _ = assigned.wait_for(|it| matches!(it, Assignment::Stop)) => {}
            }
            (name, Ended::Release)
        });
    }

    async fn remove(&mut self, name: &str) {
        self.waiting.remove(name);
        self.deleting.remove(name);
        if let Some(release) = self.releases.remove(name) {
            // The Handler is gone: another one of this name has parents of its own.
            release.send_replace(Assignment::Stop);
            self.retired.push(release);
        }
        self.host.monitoring.readiness.remove(name);
        let Some(managed) = self.managed.get(name) else {
            return;
        };
        tracing::info!(handler = %name, "the Handler is gone; its children stay");
        let key = store_key(name, managed.declared.uid.as_deref());
        self.end(name);
        self.host.forget(&key).await;
    }

    /// Has a handler's manager end for good.
    fn end(&mut self, name: &str) {
        if let Some(managed) = self.managed.remove(name) {
            managed.assignment.send_replace(Assignment::Retire);
            self.retired.push(managed.assignment);
        }
    }

    /// A manager ended, since its handler is gone. Its kind of parent is free, which may be what others wait for.
    async fn ended(&mut self, name: &str) {
        self.claims.release(name);
        self.retired.retain(|assignment| !assignment.is_closed());
        if *self.leads.borrow()
            && let Some(declared) = self.deleting.remove(name)
        {
            self.let_go(declared);
        }
        if !self.managed.contains_key(name) {
            // The manager may have reported after it was removed.
            self.host.monitoring.readiness.remove(name);
        }
        let waiting: Vec<_> = self
            .waiting
            .values()
            .map(|it| it.declared.clone())
            .collect();
        for declared in waiting {
            if declared.settings.is_ok() {
                self.declare(declared).await;
            }
        }
    }
}

impl ManagedHandler {
    /// Tells the manager that its Handler was changed into one that cannot be served.
    fn refuse(&self, refused: Refused) {
        let command = ManagerCommand::Refuse(refused, self.declared.generation);
        // This fails only if the manager has ended, and then the host ends.
        let _ = self.commands.send(command);
    }
}

/// Takes the finalizer of a Handler off, however long that takes.
async fn let_handler_go(client: &Client, name: &str, uid: Option<&str>) {
    let release = || hold_handler(client, name, uid, false);
    until_done(release, |problem| {
        tracing::warn!(handler = %name, "the Handler keeps the finalizer {PARENTS_FINALIZER}: {problem}; trying again");
    })
    .await;
}

fn assignment(leads: bool, declared: &DeclaredHandler) -> Assignment {
    if leads {
        Assignment::Lead(declared.resource.clone())
    } else {
        Assignment::StandBy
    }
}
