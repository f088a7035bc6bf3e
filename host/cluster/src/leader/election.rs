use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use handler_host_core::{self as core, Bid, Candidacy, HOST, version_number};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};

use super::fence::Fence;
use crate::api::{ApiError, ProblemLog, watch_across_restorations, watch_problem};
use crate::metrics::Metrics;

/// The namespace and name of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One host in the leader election by a Lease in the cluster. Only the leader writes.
///
/// Every write of the Lease names the resource version that it replaces, so of two hosts that want it only one gets
/// it. Each renewal opens the [`Fence`] for two thirds of the Lease's duration, counted from before the request.
pub struct Election {
    api: Api<Lease>,
    name: LeaseName,
    duration: Duration,
    candidacy: Candidacy,
    /// The Lease as it was seen last.
    lease: Option<Lease>,
    fence: Fence,
    leads: watch::Sender<bool>,
    problems: ProblemLog,
    metrics: Metrics,
}

impl Election {
    /// A candidate. No other process may have its `identity`. The receiver shows whether it is the leader. The
    /// `client` must not be behind the fence.
    #[must_use]
    pub fn new(
        client: Client,
        name: LeaseName,
        identity: String,
        duration: Duration,
        fence: Fence,
        metrics: Metrics,
    ) -> (Self, watch::Receiver<bool>) {
        let (leads, told) = watch::channel(false);
        let election = Self {
            api: Api::namespaced(client, &name.namespace),
            problems: ProblemLog::of(format!("lease {}/{}", name.namespace, name.name)),
            name,
            duration,
            candidacy: Candidacy::new(identity, duration),
            lease: None,
            fence,
            leads,
            metrics,
        };
        election.metrics.leads(&election.name.name, false);
        (election, told)
    }

    /// Takes part until `stop`, and then gives the Lease back, so that another host can take it at once.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let config =
            watcher::Config::default().fields(&format!("metadata.name={}", self.name.name));
        let news = watch_across_restorations(
            self.api.clone(),
            config,
            DefaultBackoff::default,
            Arc::default(),
        );
        let mut news = pin!(news);
        let mut again_at = None;
        loop {
            let wake = match self.candidacy.bid(Instant::now()) {
                Bid::Wait(until) => until,
                Bid::Take | Bid::Renew => {
                    let now = Instant::now();
                    match again_at.filter(|again| now < *again) {
                        Some(again) => Some(again),
                        None => {
                            let is_written = self.write().await;
                            self.publish();
                            again_at = (!is_written).then(|| now + self.candidacy.interval() / 2);
                            continue;
                        }
                    }
                }
            };
            tokio::select! {
                // A sender that is dropped stops the election too.
                _ = &mut stop => break,
                () = at(wake) => {}
                () = at(self.fence.closes_at()) => {}
                Some(event) = news.next() => self.handle(event),
            }
            self.publish();
        }
        self.give_back().await;
    }

    /// Takes or renews the Lease. Gives whether that succeeded.
    async fn write(&mut self) -> bool {
        let began = Instant::now();
        let lease = self.bid_with(Timestamp::now());
        let answer = tokio::time::timeout(self.candidacy.interval(), self.put(&lease)).await;
        let error = match answer {
            Ok(Ok(lease)) => {
                self.problems.resolve();
                self.see(Some(lease), began);
                // Counted from before the request: after a long pause of this process the fence stays closed.
                self.fence.open_until(began + self.candidacy.tenure());
                return true;
            }
            Ok(Err(error)) => ApiError::of(&error).to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        match self.api.get_opt(&self.name.name).await {
            // Another host was faster, which is no problem.
            Ok(lease) if self.is_news(lease.as_ref()) => self.see(lease, Instant::now()),
            Ok(_) | Err(_) => self.problems.report(&error),
        }
        false
    }

    async fn put(&self, lease: &Lease) -> kube::Result<Lease> {
        let params = PostParams {
            field_manager: Some(HOST.to_owned()),
            ..PostParams::default()
        };
        if self.lease.is_some() {
            self.api.replace(&self.name.name, &params, lease).await
        } else {
            self.api.create(&params, lease).await
        }
    }

    /// The Lease with this host as its holder.
    fn bid_with(&self, now: Timestamp) -> Lease {
        let mut lease = self.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let before = lease.spec.take().unwrap_or_default();
        let is_ours = self.holds();
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.candidacy.identity().to_owned()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: if is_ours {
                before.acquire_time
            } else {
                Some(MicroTime(now))
            },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(
                before.lease_transitions.unwrap_or_default() + i32::from(!is_ours),
            ),
            ..LeaseSpec::default()
        });
        lease
    }

    fn handle(&mut self, event: Result<Event<Lease>, watcher::Error>) {
        let now = Instant::now();
        match event {
            Ok(Event::Init) => {}
            Ok(Event::InitApply(lease) | Event::Apply(lease)) => {
                if self.is_news(Some(&lease)) {
                    self.see(Some(lease), now);
                }
            }
            Ok(Event::InitDone) => {
                // If no Lease was seen, the first list was empty.
                if self.lease.is_none() {
                    self.see(None, now);
                }
            }
            Ok(Event::Delete(_)) => self.see(None, now),
            Err(error) => self.problems.report(&watch_problem(&error)),
        }
    }

    /// Whether this Lease differs from the one seen last, and is not an older version of it.
    fn is_news(&self, lease: Option<&Lease>) -> bool {
        match (&self.lease, lease) {
            (Some(known), Some(lease)) => version(lease) > version(known),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        }
    }

    fn see(&mut self, lease: Option<Lease>, at: Instant) {
        let before = self.candidacy.holder().map(str::to_owned);
        self.lease = lease;
        let seen = self.lease.as_ref().map(|lease| seen(lease, self.duration));
        self.candidacy.observe(seen, at);
        let holder = self.candidacy.holder();
        if holder != before.as_deref()
            && let Some(holder) = holder.filter(|holder| *holder != self.candidacy.identity())
        {
            tracing::info!(%holder, "standing by: another host holds the lease");
        }
    }

    fn holds(&self) -> bool {
        self.candidacy.holder() == Some(self.candidacy.identity())
    }

    /// Publishes whether this host is the leader, if that changed.
    fn publish(&self) {
        let leads = self.holds() && self.fence.is_open();
        if !leads {
            self.fence.close();
        }
        let is_news = self
            .leads
            .send_if_modified(|told| std::mem::replace(told, leads) != leads);
        if is_news {
            self.metrics.leads(&self.name.name, leads);
        }
        match (is_news, leads) {
            (true, true) => tracing::info!(identity = %self.candidacy.identity(), "took the lease"),
            (true, false) => {
                tracing::warn!(identity = %self.candidacy.identity(), "lost the lease: writing nothing");
            }
            (false, _) => {}
        }
    }

    async fn give_back(mut self) {
        if !self.holds() || !self.fence.is_open() {
            return;
        }
        self.fence.close();
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        let params = PostParams::default();
        let replaced = self.api.replace(&self.name.name, &params, &lease);
        match tokio::time::timeout(self.candidacy.interval(), replaced).await {
            Ok(Ok(_)) => tracing::info!("gave the lease back"),
            // The Lease expires by itself.
            Ok(Err(error)) => {
                tracing::warn!("the lease was not given back: {}", ApiError::of(&error));
            }
            Err(_) => tracing::warn!("the lease was not given back: no answer in time"),
        }
    }
}

fn seen(lease: &Lease, default: Duration) -> core::Lease {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| u64::try_from(spec.lease_duration_seconds?).ok());
    let holder = spec.and_then(|spec| spec.holder_identity.clone());
    core::Lease {
        holder: holder.filter(|holder| !holder.is_empty()),
        duration: seconds.map_or(default, Duration::from_secs),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn version(lease: &Lease) -> u128 {
    version_number(
        lease
            .metadata
            .resource_version
            .as_deref()
            .unwrap_or_default(),
    )
}

/// Waits until that moment, or for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
