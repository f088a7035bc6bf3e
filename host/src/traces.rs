use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use async_trait::async_trait;
use bytes::Bytes;
use handler_host_core::HOST;
use http::{Request, Response, Uri};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// How long the collector may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a host that stops waits for its last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Exports spans to a collector. They are sent in the background, in batches of some seconds; spans that the collector
/// does not accept are dropped.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

/// Parses the value of --otlp-endpoint. The path is /v1/traces unless the URL has another one.
pub(crate) fn endpoint(text: &str) -> Result<Uri> {
    let uri: Uri = text
        .parse()
        .map_err(|error| anyhow!("{error}; write it as http://localhost:4318"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        bail!("it is no http or https URL with a host; write it as http://localhost:4318");
    }
    if uri.path() != "/" {
        return Ok(uri);
    }
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/v1/traces"));
    Ok(Uri::from_parts(parts)?)
}

impl Traces {
    /// Exports to an endpoint; the requests run on the given async runtime.
    pub(crate) fn to(endpoint: &Uri, runtime: Handle) -> Result<Self> {
        handler_host_registry::install_tls();
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let sender = Sender {
            client,
            runtime,
            is_failing: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_endpoint(endpoint.to_string())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .build()?;
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder()
            .with_service_name(HOST)
            .with_attribute(version);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        Ok(Self { provider })
    }

    /// The layer that turns spans of `tracing` into exported spans.
    pub(crate) fn layer<S>(&self) -> OpenTelemetryLayer<S, Tracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(HOST))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
    }

    /// Sends the spans that are left. This blocks, and the async runtime must still run.
    pub(crate) fn stop(self) {
        // A collector that cannot be reached was logged already.
        let _ = self.provider.shutdown_with_timeout(LAST_SPANS);
    }
}

/// Sends spans with the HTTP client that also fetches images. The exporter calls it from a thread of its own, which has
/// no async runtime, so requests are spawned on `runtime`.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    is_failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let endpoint = request.uri().to_string();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let status = answer.status();
            let mut response = Response::new(answer.bytes().await?);
            *response.status_mut() = status;
            Ok::<_, reqwest::Error>(response)
        });
        let sent = sent.await?;
        let problem = match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(handler_host_cluster::innermost_cause(error)),
        };
        self.log(&endpoint, problem);
        Ok(sent?)
    }
}

impl Sender {
    /// Logs once that spans are dropped, and once that sending works again.
    fn log(&self, endpoint: &str, problem: Option<String>) {
        let was_failing = self.is_failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !was_failing => {
                tracing::warn!(
                    "sending traces to {endpoint}: {problem}; they are dropped until it works again"
                );
            }
            None if was_failing => tracing::info!("sending traces to {endpoint}: works again"),
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::of_a_collector("http://localhost:4318", Some("http://localhost:4318/v1/traces"))]
    #[case::with_a_slash("https://otel.example/", Some("https://otel.example/v1/traces"))]
    #[case::with_a_path("http://otel/x", Some("http://otel/x"))]
    #[case::without_a_scheme("localhost:4318", None)]
    #[case::of_another_protocol("grpc://localhost:4317", None)]
    #[case::without_a_host("/v1/traces", None)]
    fn an_endpoint_is_the_url_of_a_collector(#[case] text: &str, #[case] to: Option<&str>) {
        let endpoint = endpoint(text).ok().map(|uri| uri.to_string());
        assert_eq!(endpoint.as_deref(), to);
    }
}
