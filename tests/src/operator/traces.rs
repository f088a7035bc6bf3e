//! A collector of traces, to which a host sends its spans by OTLP over HTTP.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::wait::{DEADLINE, eventually};

/// A collector that keeps all spans that it receives.
#[derive(Clone, Default)]
pub struct TraceCollector {
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl TraceCollector {
    /// Starts a collector on a free loopback port. Returns its URL too. Panics if there is no free port.
    pub async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("no address: {error}"));
        let collector = Self::default();
        let kept = collector.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let received = kept.receive(connection).await;
                    received.unwrap_or_else(|error| panic!("no export of traces: {error:#}"));
                });
            }
        });
        (collector, format!("http://{address}"))
    }

    /// Receives the requests of a connection until the client closes it.
    async fn receive(&self, connection: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(connection);
        loop {
            let (mut head, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).await.unwrap_or(0) > 2 {
                head += &line.to_lowercase();
                line.clear();
            }
            let Some(length) = head.split("content-length: ").nth(1) else {
                return Ok(());
            };
            ensure!(head.starts_with("post /v1/traces "), "{head}");
            let length = length.lines().next().context("no length")?.parse()?;
            let mut body = vec![0; length];
            reader.read_exact(&mut body).await?;
            let request = ExportTraceServiceRequest::decode(body.as_slice())?;
            self.requests.lock().push(request);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            reader.write_all(answer).await?;
        }
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Waits for the whole trace in which a child of this name was applied. Its spans are sorted by their start.
    pub async fn trace_of(&self, name: &str) -> Vec<Span> {
        eventually("a trace", DEADLINE, async || {
            let spans = self.spans();
            let applied = spans.iter().find(|span| {
                span.name == "apply" && attribute(span, "name").as_deref() == Some(name)
            });
            let trace = &applied?.trace_id;
            let mut spans: Vec<_> = spans
                .iter()
                .filter(|span| span.trace_id == *trace)
                .collect();
            spans.sort_by_key(|span| span.start_time_unix_nano);
            // The root span ends last, and a span is sent when it ends.
            let is_whole = spans.iter().any(|span| span.parent_span_id.is_empty());
            is_whole.then(|| spans.into_iter().cloned().collect())
        })
        .await
    }
}

/// The value of an attribute of a span, as text.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key == key)?;
    let value = found.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value {
        return Some(text.clone());
    }
    Some(format!("{value:?}"))
}
