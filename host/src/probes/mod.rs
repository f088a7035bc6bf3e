//! What others may ask a running host over HTTP: whether it lives, whether it is ready, and its metrics.

mod check;
mod process;
mod readiness;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use handler_host_cluster::{Metrics, RequestLayer, Liveness, Stalled};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::check::Check;
use self::process::Process;
pub(crate) use self::readiness::HostReadiness;

/// Where the parts of a host show how they are.
#[derive(Clone, Default)]
pub(crate) struct Monitoring {
    pub(crate) liveness: Liveness,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: HostReadiness,
}

impl Monitoring {
    /// What notes the requests of a client here.
    pub(crate) fn requests(&self) -> RequestLayer {
        RequestLayer::new(&self.liveness, &self.metrics)
    }
}

/// Answers those who ask, until it is dropped.
pub(crate) struct ProbeServer(JoinHandle<()>);

impl ProbeServer {
    /// Listens at an address. What has been silent for longer than `max_silence` is taken for stalled.
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
        let asked = Arc::new(ProbeAnswers::new(monitoring, max_silence));
        Ok(Self(tokio::spawn(server::serve(listener, asked))))
    }
}

impl Drop for ProbeServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is asked.
struct ProbeAnswers {
    monitoring: Monitoring,
    max_silence: Duration,
    registry: Registry,
}

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MetricsFormat {
    OpenMetrics,
    Prometheus,
}

impl MetricsFormat {
    /// What the reader accepts; Prometheus asks for OpenMetrics, people with a browser do not.
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

    /// Whether everything moves. That this is answered at all says the same of the runtime.
    fn liveness(&self) -> Vec<Check> {
        let told = |stalled: &Stalled| {
            let seconds = stalled.silent_for.as_secs();
            format!("{} for {seconds} s", stalled.what)
        };
        let stalled = self.monitoring.liveness.stalled(self.max_silence);
        let problem = stalled.iter().map(told).collect::<Vec<_>>().join("; ");
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
