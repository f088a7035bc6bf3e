use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use futures::{Stream, StreamExt};
use handler_host_cluster::{ServingNews, Wanted};
use handler_host_core::{Account, Settings};
use handler_host_registry::{FetchError, Fetched, follow};

use super::Host;
use super::desk::{Desk, Ending, Order};
use super::loaded::{Loaded, load};
use super::stage::{Stage, StageNews};
use crate::client::HandlerClient;

/// How many modules are kept ready: the one that runs elsewhere, the one it would return to, and one that
/// came since.
const READY: usize = 3;

/// Keeps a handler ready in a host that stands by: its kinds are watched and its modules compiled, but
/// nothing is said, written or called for a parent.
pub(crate) struct Standby {
    host: Arc<Host>,
    settings: Settings,
    source: Pin<Box<dyn Stream<Item = Result<Fetched, FetchError>> + Send>>,
    warm: Warm,
    /// Whether the source gave a module, or an error, so far.
    was_fetched: bool,
}

/// What a handler has ready that stood by.
pub(crate) struct Warm {
    wanted: Wanted,
    account: Option<Account>,
    /// Acts in the name of that account.
    pub(super) client: HandlerClient,
    /// Of the kinds that are wanted.
    pub(super) stage: Stage,
    /// The latest last.
    pub(super) modules: Vec<Loaded>,
}

impl Warm {
    /// Of a handler that never stood by: its kinds are looked for.
    pub(crate) fn nothing(host: &Host, settings: &Settings) -> Result<Self> {
        let wanted = Wanted::from(settings);
        Ok(Self {
            client: host.clients.of_handler(settings.account.as_ref())?,
            account: settings.account.clone(),
            stage: Stage::look(host.clients.own(), wanted.clone()),
            wanted,
            modules: Vec::new(),
        })
    }

    /// Whether it is of any use under these settings.
    pub(crate) fn fits(&self, settings: &Settings) -> bool {
        self.wanted == Wanted::from(settings) && self.account == settings.account
    }
}

impl Standby {
    pub(crate) fn new(host: Arc<Host>, settings: Settings, warm: Warm) -> Self {
        Self {
            source: Box::pin(follow(settings.module.clone(), host.access.clone())),
            was_fetched: !warm.modules.is_empty(),
            warm,
            host,
            settings,
        }
    }

    /// Stands by until it is to end; gives what is ready by then.
    pub(crate) async fn run(mut self, mut desk: Desk) -> Result<Warm> {
        loop {
            let waits_for = if self.was_fetched {
                self.warm.stage.waits_for()
            } else {
                Some("its module is being loaded".to_owned())
            };
            let readiness = &self.host.gauges.readiness;
            readiness.stands(&self.settings.name, waits_for);
            let is_to_end = async { desk.ending.wait_for(|how| *how != Ending::No).await.is_ok() };
            tokio::select! {
                biased;
                true = is_to_end => return Ok(self.warm),
                Some(order) = desk.orders.recv() => self.take(order)?,
                news = self.warm.stage.next() => self.advance(news)?,
                Some(fetched) = self.source.next() => self.fetched(fetched).await,
            }
        }
    }

    fn take(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Change(settings, _) => {
                self.settings = *settings;
                if !self.warm.fits(&self.settings) {
                    self.warm = Warm::nothing(&self.host, &self.settings)?;
                }
                // Also where only the config changed: it is described anew.
                let access = self.host.access.clone();
                self.source = Box::pin(follow(self.settings.module.clone(), access));
            }
            // Whoever serves says so.
            Order::Refuse(..) => {}
        }
        Ok(())
    }

    fn advance(&mut self, news: StageNews) -> Result<()> {
        match news {
            StageNews::Missing => {}
            StageNews::Found(Ok(kinds)) => {
                let observed =
                    Stage::observe(*kinds, &self.settings.name, &self.host, &self.warm.client);
                let refused =
                    |error: handler_host_cluster::ClusterError| Stage::Refused(error.to_string());
                self.warm.stage = observed.unwrap_or_else(refused);
            }
            StageNews::Found(Err(error)) => self.warm.stage = Stage::Refused(error.to_string()),
            StageNews::Serving(ServingNews::Ended(error)) => return Err(error.into()),
            StageNews::Serving(ServingNews::Warm | ServingNews::FailedTrial(_)) => {}
        }
        Ok(())
    }

    async fn fetched(&mut self, fetched: Result<Fetched, FetchError>) {
        self.was_fetched = true;
        // Whoever serves says what is wrong with a source or a module.
        let Ok(fetched) = fetched else {
            return;
        };
        let digest = fetched.digest;
        let known = self
            .warm
            .modules
            .iter()
            .find(|module| module.digest() == digest);
        let compiled = known.map(|module| module.component.clone());
        // Nobody counts calls here.
        let tally = Arc::default();
        match load(&self.host, &self.settings, &tally, fetched, compiled).await {
            Ok(loaded) => {
                let modules = &mut self.warm.modules;
                modules.retain(|module| module.digest() != digest);
                modules.push(loaded);
                let surplus = modules.len().saturating_sub(READY);
                modules.drain(..surplus);
            }
            Err(refused) => tracing::debug!(handler = %self.settings.name, "{}", refused.message),
        }
    }
}
