//! Traces of reconciles, as a collector receives them.

use handler_host_tests::namespace::claims::IN_TURN;
use handler_host_tests::operator::{TraceCollector, attribute};
use handler_host_tests::{ControlPlane, DEADLINE, VolumeClaims};
use insta::assert_snapshot;
use opentelemetry_proto::tonic::trace::v1::Span;

/// A trace as a tree, without what differs from run to run.
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
    let (collector, url) = TraceCollector::start().await;
    let arguments = ["--otlp-endpoint", &url, IN_TURN[0], IN_TURN[1]];
    let mut claims =
        VolumeClaims::served_with(ControlPlane::shared().await, "traced", &arguments).await;
    claims.create_ready("claim", "1Gi").await;
    // The host sends the last spans when it ends.
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
    // The lines of the log stay the same as without traces.
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
        VolumeClaims::served_with(ControlPlane::shared().await, "untraced", &arguments).await;
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
