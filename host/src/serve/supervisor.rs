use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt};
use handler_host_cluster::resource::{Handler, HandlerStatus};
use handler_host_cluster::{HandlerNews, PulseOf, Say};
use handler_host_core::{Claims, Kind, Settings};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::desk::{Desk, Ending, Identity, Order, Role, key};
use super::loaded::Refused;
use super::sink::PENDING;
use super::standby::{Standby, Warm};
use super::steward::{Steward, TICK};
use super::{Host, Sink, quoted};

/// Looks after all handlers of a host: each has a steward of its own, so that none disturbs another.
pub(crate) struct Supervisor {
    host: Arc<Host>,
    place: HandlerPlace,
    claims: Claims,
    served: BTreeMap<String, Served>,
    /// Handlers that are not served, and why. One whose steward of before has not ended yet is tried again
    /// when it has: two that work on one parent would answer each other's writes.
    waiting: BTreeMap<String, (Handler, Option<Sink>)>,
    /// Whether this host serves; else it stands by.
    leads: bool,
    attendants: JoinSet<(String, Result<Option<Warm>>)>,
}

/// Where Handlers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HandlerPlace {
    /// Files or directories of these paths: the log tells how they stand.
    Files(Vec<PathBuf>),
    /// The cluster: their status tells it.
    Cluster,
}

struct Served {
    handler: Handler,
    /// What it has a claim to, whatever its Handler says by now.
    parent: Kind,
    orders: mpsc::UnboundedSender<Order>,
    ending: watch::Sender<Ending>,
}

impl Supervisor {
    pub(crate) fn new(host: Arc<Host>, place: HandlerPlace) -> Self {
        Self {
            host,
            place,
            claims: Claims::default(),
            served: BTreeMap::new(),
            waiting: BTreeMap::new(),
            leads: false,
            attendants: JoinSet::new(),
        }
    }

    /// Follows the Handlers until `stop` resolves, and serves them while this host `leads`; then lets what is
    /// under way end.
    pub(crate) async fn run(
        mut self,
        news: impl Stream<Item = HandlerNews>,
        mut leads: watch::Receiver<bool>,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        let (mut news, mut stop) = (std::pin::pin!(news), std::pin::pin!(stop));
        self.leads = *leads.borrow_and_update();
        let vitals = &self.host.gauges.vitals;
        let pulse = vitals.pulse(PulseOf::Loop, "the supervisor of all handlers".to_owned());
        let mut tick = tokio::time::interval(TICK);
        loop {
            pulse.beat();
            self.host
                .gauges
                .meters
                .handlers_are(self.served.len() + self.waiting.len());
            tokio::select! {
                () = &mut stop => break,
                _ = tick.tick() => {}
                Some(news) = news.next() => self.take(news).await,
                Some(ended) = self.attendants.join_next() => {
                    let (name, outcome) = ended.context("a handler's steward ended")?;
                    let warm = outcome.with_context(|| format!("handler {name}"))?;
                    self.ended(&name, warm);
                }
                changed = leads.changed() => {
                    changed.context("the election ended")?;
                    let leads = *leads.borrow_and_update();
                    self.lead(leads).await;
                }
            }
        }
        pulse.rest();
        for served in self.served.values() {
            served.ending.send_replace(Ending::Stop);
        }
        while self.attendants.join_next().await.is_some() {}
        Ok(())
    }

    /// From now on this host serves, or stands by: whoever attends to a handler makes way for the other.
    async fn lead(&mut self, leads: bool) {
        if std::mem::replace(&mut self.leads, leads) == leads {
            return;
        }
        for served in self.served.values() {
            served.ending.send_replace(Ending::Stop);
        }
        // Those that are refused have it said by who leads.
        let waiting = std::mem::take(&mut self.waiting);
        for (handler, _) in waiting.into_values() {
            self.apply(handler).await;
        }
    }

    async fn take(&mut self, news: HandlerNews) {
        match news {
            HandlerNews::All(handlers, unreadable) => {
                let is_there = |name: &String| {
                    unreadable.contains(name) || handlers.iter().any(|it| name_of(it) == *name)
                };
                let known = self.served.keys().chain(self.waiting.keys());
                let gone: Vec<String> = known.filter(|name| !is_there(name)).cloned().collect();
                for name in gone {
                    self.remove(&name).await;
                }
                for handler in handlers {
                    self.apply(handler).await;
                }
                self.host.gauges.readiness.handlers_are_read();
            }
            HandlerNews::Applied(handler) => self.apply(*handler).await,
            HandlerNews::Gone(name) => self.remove(&name).await,
        }
    }

    async fn apply(&mut self, handler: Handler) {
        let name = name_of(&handler);
        if let Some(served) = self.served.get_mut(&name) {
            if is_same(&served.handler, &handler) {
                // What it says by now, for whoever serves next.
                served.handler = handler;
                return;
            }
            if served.handler.metadata.uid != handler.metadata.uid {
                // Deleted and made anew, unseen in between.
                self.remove(&name).await;
            }
        }
        let settings = match Settings::try_from(&handler) {
            Ok(settings) => settings,
            Err(error) => {
                let refused = Refused::new("InvalidSpec", &error.to_string());
                return self.refuse(handler, refused);
            }
        };
        match self.served.get_mut(&name) {
            // Another kind of parent is another claim.
            Some(served) if served.parent == settings.parent => {
                let order = Order::Change(Box::new(settings), handler.metadata.generation);
                served.handler = handler;
                // One that ended takes the host with it.
                let _ = served.orders.send(order);
            }
            Some(_) => {
                self.end(&name, Ending::Retire);
                self.waiting.insert(name, (handler, None));
            }
            None => self.claim(handler, settings),
        }
    }

    /// Serves a Handler whose kind of parent is free.
    fn claim(&mut self, handler: Handler, settings: Settings) {
        let name = settings.name.clone();
        // The claim of a steward that has not ended yet is still held under this name.
        if self.claims.holds(&name) {
            self.waiting.insert(name, (handler, None));
            return;
        }
        match self.claims.claim(&name, &settings.parent) {
            Ok(()) => {
                self.waiting.remove(&name);
                self.start(handler, settings, None);
            }
            Err(taken) => self.refuse(handler, Refused::new("ParentTaken", &taken.to_string())),
        }
    }

    fn start(&mut self, handler: Handler, settings: Settings, warm: Option<Warm>) {
        let (orders, taken) = mpsc::unbounded_channel();
        let (ending, ended) = watch::channel(Ending::No);
        let desk = Desk {
            orders: taken,
            ending: ended,
            sink: self.sink(&handler),
            asked_of_rbac: self.asked_of_rbac(&handler),
        };
        let name = name_of(&handler);
        let metadata = &handler.metadata;
        let identity = Identity {
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            status: handler.status.clone(),
        };
        let parent = settings.parent.clone();
        self.host
            .gauges
            .readiness
            .stands(&name, Some("its turn".to_owned()));
        let (host, named) = (self.host.clone(), name.clone());
        let leads = self.leads;
        self.attendants.spawn(async move {
            let attend = async {
                let warm = match warm {
                    Some(warm) => warm,
                    None => Warm::nothing(&host, &settings)?,
                };
                if leads {
                    let role = Role::OneOfMany;
                    let steward = Steward::new(host, role, settings, identity, desk, warm);
                    steward.run(None).await.map(|()| None)
                } else {
                    let standby = Standby::new(host, settings, warm);
                    standby.run(desk).await.map(Some)
                }
            };
            (named, attend.await)
        });
        let served = Served {
            handler,
            parent,
            orders,
            ending,
        };
        self.served.insert(name, served);
    }

    fn sink(&self, handler: &Handler) -> Sink {
        let gauges = &self.host.gauges;
        match &self.place {
            HandlerPlace::Cluster if self.leads => {
                Sink::cluster(self.host.clients.own(), handler, gauges)
            }
            HandlerPlace::Cluster | HandlerPlace::Files(_) => Sink::log(&name_of(handler), gauges),
        }
    }

    fn asked_of_rbac(&self, handler: &Handler) -> String {
        match &self.place {
            HandlerPlace::Cluster => format!("--handler {}", name_of(handler)),
            HandlerPlace::Files(paths) => {
                let paths = paths.iter().map(|path| quoted(&like_a_path(path)));
                format!("--handler {}", paths.collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// A Handler that cannot be served as it is: one that serves goes on as it was.
    fn refuse(&mut self, handler: Handler, refused: Refused) {
        let (name, generation) = (name_of(&handler), handler.metadata.generation);
        if let Some(served) = self.served.get_mut(&name) {
            served.handler = handler;
            // One that ended takes the host with it.
            let _ = served.orders.send(Order::Refuse(refused, generation));
            return;
        }
        if !self.leads {
            // Who leads says so.
            self.host.gauges.readiness.stands(&name, None);
            self.waiting.insert(name, (handler, None));
            return;
        }
        let sink = self.waiting.remove(&name).and_then(|(_, sink)| sink);
        let mut sink = sink.unwrap_or_else(|| self.sink(&handler));
        let say = |reason, message| Say {
            is_true: false,
            reason,
            message,
        };
        let ready = say(refused.reason, refused.message);
        let loaded = say(PENDING, "The Handler is refused.".to_owned());
        let status = HandlerStatus {
            observed_generation: generation,
            conditions: vec![
                ready.condition("Ready", generation),
                loaded.condition("ModuleLoaded", generation),
            ],
            ..HandlerStatus::default()
        };
        sink.say(vec![("Ready", ready), ("ModuleLoaded", loaded)], status);
        self.host.gauges.readiness.stands(&name, None);
        self.waiting.insert(name, (handler, Some(sink)));
    }

    async fn remove(&mut self, name: &str) {
        self.waiting.remove(name);
        self.host.gauges.readiness.gone(name);
        let Some(served) = self.served.get(name) else {
            return;
        };
        tracing::info!(handler = %name, "the Handler is gone; its children stay");
        let key = key(name, served.handler.metadata.uid.as_deref());
        self.end(name, Ending::Retire);
        self.host.forget(&key).await;
    }

    fn end(&mut self, name: &str, how: Ending) {
        if let Some(served) = self.served.remove(name) {
            served.ending.send_replace(how);
        }
    }

    /// Whoever attended to a handler ended: to make way for another one, or since the handler is served no
    /// more. Then its kind of parent is free, which may be what others wait for.
    fn ended(&mut self, name: &str, warm: Option<Warm>) {
        if let Some(Served { handler, .. }) = self.served.remove(name) {
            match Settings::try_from(&handler) {
                Ok(settings) => {
                    let warm = warm.filter(|warm| warm.fits(&settings));
                    return self.start(handler, settings, warm);
                }
                Err(error) => self.refuse(handler, Refused::new("InvalidSpec", &error.to_string())),
            }
        }
        self.claims.release(name);
        if !self.served.contains_key(name) {
            // Said by the steward after it was said that its handler is gone.
            self.host.gauges.readiness.gone(name);
        }
        let waiting: Vec<Handler> = self.waiting.values().map(|(it, _)| it.clone()).collect();
        for handler in waiting {
            if let Ok(settings) = Settings::try_from(&handler) {
                self.claim(handler, settings);
            }
        }
    }
}

/// A word without a dot or slash is the name of a Handler in the cluster.
fn like_a_path(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(['.', '/']) {
        text
    } else {
        format!("./{text}")
    }
}

fn name_of(handler: &Handler) -> String {
    handler.metadata.name.clone().unwrap_or_default()
}

/// Whether nothing changed that a handler is served by; its status is our own.
fn is_same(one: &Handler, other: &Handler) -> bool {
    one.spec == other.spec
        && one.metadata.uid == other.metadata.uid
        && one.metadata.generation == other.metadata.generation
        && one.metadata.annotations == other.metadata.annotations
}
