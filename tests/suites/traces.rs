//! Traces of reconciles, as a collector gets them.

use std::sync::{Arc, Mutex};

use handler_host_tests::claims::IN_TURN;
use handler_host_tests::{Claims, ControlPlane, DEADLINE, eventually};
use insta::assert_snapshot;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector {
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    /// Starts one; gives its URL.
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let kept = collector.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move { kept.take(connection).await });
            }
        });
        (collector, url)
    }

    async fn take(&self, connection: TcpStream) {
        let mut reader = BufReader::new(connection);
        loop {
            let (mut head, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).await.unwrap_or(0) > 2 {
                head += &line.to_lowercase();
                line.clear();
            }
            let Some(length) = head.split("content-length: ").nth(1) else {
                return;
            };
            assert!(head.starts_with("post /v1/traces "), "{head}");
            let length = length.lines().next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).await.unwrap();
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            self.requests.lock().unwrap().push(request);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            reader.write_all(answer).await.unwrap();
        }
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Waits for the traces of a parent in which something was applied.
    async fn trace_of(&self, name: &str) -> Vec<Span> {
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
            // The root ends last.
            let is_whole = spans.iter().any(|span| span.parent_span_id.is_empty());
            is_whole.then(|| spans.into_iter().cloned().collect())
        })
        .await
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key == key)?;
    let value = found.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value {
        return Some(text.clone());
    }
    Some(format!("{value:?}"))
}

/// A trace as a tree, less what differs from run to run.
fn tree(spans: &[Span], of: &[u8], depth: usize) -> String {
    let children = spans.iter().filter(|span| span.parent_span_id == of);
    children
        .map(|span| {
            let mut attributes: Vec<_> = span
                .attributes
                .iter()
                .map(|pair| {
                    let value = attribute(span, &pair.key).unwrap_or_default();
                    format!("{}={value}", pair.key)
                })
                .collect();
            attributes.sort();
            let line = format!(
                "{}{} {}",
                "  ".repeat(depth),
                span.name,
                attributes.join(" ")
            );
            format!("{}\n", line.trim_end()) + &tree(spans, &span.span_id, depth + 1)
        })
        .collect()
}

#[tokio::test]
async fn a_claims_reconcile_arrives_as_one_trace() {
    let (collector, url) = Collector::start().await;
    let arguments = ["--otlp-endpoint", &url, IN_TURN[0], IN_TURN[1]];
    let mut claims = Claims::served_with(ControlPlane::shared().await, "traced", &arguments).await;
    claims.create_ready("claim", "1Gi").await;
    // What is left is sent at the end.
    claims.operator.terminate().await;
    let trace = collector.trace_of("claim").await;
    let told = tree(&trace, &[], 0).replace(&claims.namespace.name, "NAMESPACE");
    let digest = trace.iter().find_map(|span| attribute(span, "digest"));
    let told = told.replace(&digest.unwrap(), "DIGEST");
    assert_snapshot!(told, @r"
    reconcile handler=evc kind=EphemeralVolumeClaim name=claim namespace=NAMESPACE outcome=success
      invoke digest=DIGEST outcome=answered
      plan
      apply kind=PersistentVolumeClaim name=claim outcome=written write=create
    ");
    // The log is the same as without.
    let line = claims
        .operator
        .wait_for_line("PVC child is created", DEADLINE)
        .await;
    assert!(!line.contains("reconcile"), "{line}");
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_of_once_and_stops_nothing() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let arguments = ["--otlp-endpoint", &url, IN_TURN[0], IN_TURN[1]];
    let mut claims =
        Claims::served_with(ControlPlane::shared().await, "untraced", &arguments).await;
    claims.create_ready("claim", "1Gi").await;
    let lost = "they are dropped until it works again";
    claims.operator.wait_for_line(lost, DEADLINE).await;
    claims.create_ready("another", "1Gi").await;
    let (status, _) = claims.operator.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", claims.operator.log());
    assert_eq!(
        claims.operator.lines_with(lost).len(),
        1,
        "{}",
        claims.operator.log()
    );
}
