//! The Grafana board and the alerts query only metrics that a host exports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use handler_host_tests::operator::ScrapedMetrics;
use handler_host_tests::programs::child;
use handler_host_tests::{ControlPlane, LISTEN, ProbeClient, VolumeClaims, eventually, paths};
use prometheus_parse::Value as Measured;
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::{Value, json};

/// The labels that Prometheus adds to each series.
const OF_THE_TARGET: [&str; 2] = ["job", "instance"];
/// The metric, with its label, that only a host with a lease exports.
const WITH_A_LEASE: (&str, &str) = ("leader_election_master_status", "name");
/// The panels whose queries give nothing while there is no problem.
const EMPTY_WITHOUT_PROBLEMS: [&str; 1] = ["Conditions that are not True"];

fn deploy(file: &str) -> PathBuf {
    paths::workspace().join("host/deploy").join(file)
}

/// The queries of the board, as (title of the panel, expression).
fn board_queries() -> Vec<(String, String)> {
    let board = fs::read(deploy("grafana/handler-host.json")).unwrap();
    let board: Value = serde_json::from_slice(&board).unwrap();
    let mut queries = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = target["expr"].as_str().unwrap();
            let text = text
                .replace("$__rate_interval", "1m")
                .replace("$handler", ".*");
            assert!(!text.contains('$'), "{text}");
            queries.push((panel["title"].as_str().unwrap().to_owned(), text));
        }
    }
    assert!(queries.len() > 20);
    queries
}

/// The expressions of the alerts, as (name of the alert, expression).
fn alert_queries() -> Vec<(String, String)> {
    let text = fs::read_to_string(deploy("alerts.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&text).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().iter();
    let text = |rule: &Value, field: &str| rule[field].as_str().unwrap().to_owned();
    rules
        .map(|rule| {
            let annotations = &rule["annotations"];
            for annotation in ["summary", "description", "runbook"] {
                assert!(annotations[annotation].is_string(), "{rule:#}");
            }
            (text(rule, "alert"), text(rule, "expr"))
        })
        .collect()
}

/// What a query reads.
#[derive(Default)]
struct QueriedMetrics {
    /// Each metric, and the labels by which it is selected.
    selected: Vec<(String, BTreeSet<String>)>,
    /// The labels by which results are grouped.
    grouped_by: BTreeSet<String>,
}

impl QueriedMetrics {
    fn select(&mut self, selector: &VectorSelector) {
        let matchers = selector.matchers.matchers.iter();
        let labels = matchers.map(|matcher| matcher.name.clone()).collect();
        let name = selector.name.clone().expect("a selector without a name");
        self.selected.push((name, labels));
    }
}

impl ExprVisitor for QueriedMetrics {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        match expression {
            Expr::VectorSelector(selector) => self.select(selector),
            Expr::MatrixSelector(range) => self.select(&range.vs),
            Expr::Aggregate(aggregate) => {
                if let Some(LabelModifier::Include(labels)) = &aggregate.modifier {
                    self.grouped_by.extend(labels.labels.iter().cloned());
                }
            }
            Expr::Unary(_)
            | Expr::Binary(_)
            | Expr::Paren(_)
            | Expr::Subquery(_)
            | Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::Call(_)
            | Expr::Extension(_) => {}
        }
        Ok(true)
    }
}

/// The labels of each metric, by the name that queries use for the metric.
fn exported(metrics: &ScrapedMetrics) -> BTreeMap<String, BTreeSet<String>> {
    let mut exported: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in metrics.samples() {
        let labels: BTreeSet<_> = sample.labels.keys().cloned().collect();
        let mut put = |name: String, more: Option<&str>| {
            let known = exported.entry(name).or_default();
            known.extend(labels.iter().cloned());
            known.extend(more.map(str::to_owned));
        };
        match sample.value {
            Measured::Histogram(_) => put(format!("{}_bucket", sample.metric), Some("le")),
            Measured::Counter(_)
            | Measured::Gauge(_)
            | Measured::Summary(_)
            | Measured::Untyped(_) => put(sample.metric.clone(), None),
        }
    }
    let (name, label) = WITH_A_LEASE;
    let labels = exported.entry(name.to_owned()).or_default();
    labels.insert(label.to_owned());
    exported
}

async fn served(prefix: &str) -> (VolumeClaims<'static>, ProbeClient) {
    let control_plane = ControlPlane::shared().await;
    let mut claims = VolumeClaims::served_with(control_plane, prefix, &LISTEN).await;
    let probes = ProbeClient::of(&mut claims.operator).await;
    claims.create_ready("claim", "1Gi").await;
    (claims, probes)
}

#[tokio::test]
async fn every_metric_and_label_of_the_board_and_the_alerts_is_exported() {
    let (_claims, probes) = served("board").await;
    let exported = exported(&probes.metrics().await);
    for (name, query) in board_queries().into_iter().chain(alert_queries()) {
        let expression = parser::parse(&query).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut queried = QueriedMetrics::default();
        walk_expr(&mut queried, &expression).unwrap();
        let mut there: BTreeSet<&str> = OF_THE_TARGET.into_iter().collect();
        assert!(!queried.selected.is_empty(), "{name}: {query}");
        for (metric, labels) in &queried.selected {
            let known = exported.get(metric);
            let known = known.unwrap_or_else(|| panic!("{name}: no host exports {metric}"));
            for label in labels {
                assert!(
                    known.contains(label),
                    "{name}: {metric} has no label {label}"
                );
            }
            there.extend(known.iter().map(String::as_str));
        }
        for label in &queried.grouped_by {
            assert!(
                there.contains(label.as_str()),
                "{name}: nothing has a label {label}"
            );
        }
    }
}

#[tokio::test]
#[ignore = "needs prometheus and promtool, as Debian's package prometheus has them; `just check-alerts` runs it"]
async fn a_real_prometheus_answers_every_query_of_the_board_and_fires_no_alert() {
    let (claims, probes) = served("scraped").await;
    let directory = tempfile::tempdir().unwrap();
    let rules = deploy("alerts.yaml");
    let config = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules],
        "scrape_configs": [{
            "job_name": "handler-host",
            "static_configs": [{"targets": [probes.address().to_string()]}],
        }],
    });
    let file = directory.path().join("prometheus.yaml");
    fs::write(&file, config.to_string()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let _prometheus = child::command(Path::new("prometheus"))
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.path().display()
        ))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus does not start");
    let server = format!("http://{address}");

    // Prometheus scrapes the host while the claims are created.
    let names: Vec<_> = (0..60).map(|index| format!("claim-{index}")).collect();
    for some in names.chunks(10) {
        join_all(some.iter().map(|name| claims.create(name, "1Gi"))).await;
        for name in some {
            claims.ready(name).await;
        }
    }
    let deadline = Duration::from_secs(120);
    for (panel, query) in board_queries() {
        if EMPTY_WITHOUT_PROBLEMS.contains(&panel.as_str()) {
            assert_eq!(query_result(&server, &query).await, Ok(vec![]), "{panel}");
            continue;
        }
        eventually(
            &format!("{panel}: {query}"),
            deadline,
            async || match query_result(&server, &query).await {
                Ok(found) if found.is_empty() => Err("no data".to_owned()),
                answer => answer,
            },
        )
        .await;
    }
    // The rules are evaluated on live series, and no alert fires.
    let rules = "count(handler_host_build_info) unless count(ALERTS)";
    let well = query_result(&server, rules).await.unwrap();
    assert_eq!(well.len(), 1, "{:?}", query_result(&server, "ALERTS").await);
}

/// The answer of a Prometheus to a query.
async fn query_result(server: &str, query: &str) -> Result<Vec<Value>, String> {
    let output = child::command(Path::new("promtool"))
        .args(["query", "instant", "-o", "json"])
        .args([server, query])
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("promtool: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .map_err(|error| format!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}
