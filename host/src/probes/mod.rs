//! Serves the probes for liveness and readiness and the metrics of a running host over HTTP.

mod check;
mod connections;
mod process;
mod readiness;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use handler_host_cluster::{Liveness, Metrics, RequestLayer, Stalled};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::check::Check;
use self::process::Process;
pub(crate) use self::readiness::HostReadiness;

/// The shared objects in which the parts of a host record their liveness, metrics and readiness.
#[derive(Clone, Default)]
pub(crate) struct Monitoring {
    pub(crate) liveness: Liveness,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: HostReadiness,
}

impl Monitoring {
    /// The layer for a client that records its requests here.
    pub(crate) fn requests(&self) -> RequestLayer {
        RequestLayer::new(&self.liveness, &self.metrics)
    }
}

/// The HTTP server of the probes. It ends when this is dropped.
pub(crate) struct ProbeServer(JoinHandle<()>);

impl ProbeServer {
    /// Listens at an address. A heartbeat that has been silent for longer than `max_silence` counts as stalled.
    pub(crate) async fn listen(
        address: SocketAddr,
        monitoring: Monitoring,
        max_silence: Duration,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let reason = handler_host_registry::reason(&error);
            anyhow!(
                "--listen {address}: {reason}; name an address of this machine and a port that is free"
            )
        })?;
        let address = listener.local_addr().unwrap_or(address);
        tracing::info!(%address, "answering /livez, /readyz and /metrics");
        let answers = Arc::new(ProbeAnswers::new(monitoring, max_silence));
        Ok(Self(tokio::spawn(server::serve(listener, answers))))
    }
}

impl Drop for ProbeServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the answers to requests are made from.
struct ProbeAnswers {
    monitoring: Monitoring,
    max_silence: Duration,
    registry: Registry,
}

/// The text format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MetricsFormat {
    OpenMetrics,
    Prometheus,
}

impl MetricsFormat {
    /// The format for an `Accept` header. Prometheus asks for OpenMetrics, a browser does not.
    fn accepted(by: &str) -> Self {
        if by.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

impl ProbeAnswers {
    fn new(monitoring: Monitoring, max_silence: Duration) -> Self {
        let mut registry = Registry::default();
        monitoring.metrics.register(&mut registry);
        monitoring.metrics.build_is(env!("CARGO_PKG_VERSION"));
        registry.register_collector(Box::new(Process::started()));
        Self {
            monitoring,
            max_silence,
            registry,
        }
    }

    /// Whether every heartbeat is recent. That the probe is answered at all shows that the async runtime works.
    fn liveness(&self) -> Vec<Check> {
        let described = |stalled: &Stalled| {
            let seconds = stalled.silent_for.as_secs();
            format!("{} for {seconds} s", stalled.what)
        };
        let stalled = self.monitoring.liveness.stalled(self.max_silence);
        let problem = stalled.iter().map(described).collect::<Vec<_>>().join("; ");
        vec![Check {
            name: "moving".to_owned(),
            problem: (!problem.is_empty()).then(|| format!("silent: {problem}")),
        }]
    }

    fn readiness(&self) -> Vec<Check> {
        self.monitoring.readiness.checks()
    }

    fn metrics(&self, format: MetricsFormat) -> Result<String, std::fmt::Error> {
        let watches = self.monitoring.liveness.watches(self.max_silence);
        self.monitoring.metrics.refresh(watches);
        let mut text = String::new();
        match format {
            MetricsFormat::OpenMetrics => text::encode(&mut text, &self.registry)?,
            MetricsFormat::Prometheus => prometheus_text::encode(&mut text, &self.registry)?,
        }
        Ok(text)
    }
}
