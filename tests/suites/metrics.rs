//! The metrics of a host, as Prometheus scrapes them.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use handler_host_tests::namespace::claims::IN_TURN;
use handler_host_tests::objects::names;
use handler_host_tests::operator::ScrapedMetrics;
use handler_host_tests::{
    ControlPlane, DEADLINE, Hosted, LISTEN, ProbeClient, VolumeClaims, eventually, write_atomically,
};
use insta::assert_snapshot;

const CLAIMS: usize = 10;
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

/// A metric: its name, the labels by which it is found, and its value.
type ExpectedMetric = (&'static str, &'static [(&'static str, &'static str)], f64);

/// The exact values after ten claims, none of which failed. The handler is called once more for each of them, when its
/// child is there.
#[rustfmt::skip]
const AFTER_TEN: [ExpectedMetric; 20] = [
    ("handler_host_writes_total", &[("handler", "evc"), ("write", "create"), ("outcome", "written")], 10.0),
    ("handler_host_writes_total", &[("handler", "evc"), ("write", "status"), ("outcome", "written")], 10.0),
    ("handler_host_writes_total", &[("handler", "evc"), ("write", "event"), ("outcome", "written")], 10.0),
    ("handler_host_writes_total", &[("handler", "evc"), ("write", "apply"), ("outcome", "written")], 0.0),
    ("handler_host_writes_total", &[("handler", "evc"), ("write", "create"), ("outcome", "rejected")], 0.0),
    ("handler_host_calls_total", &[("handler", "evc"), ("outcome", "answered")], 20.0),
    ("handler_host_calls_total", &[("handler", "evc"), ("outcome", "permanent")], 0.0),
    ("handler_host_memo_hits_total", &[("handler", "evc")], 0.0),
    ("handler_host_parents", &[("handler", "evc")], 10.0),
    ("handler_host_failing_parents", &[("handler", "evc")], 0.0),
    ("handler_host_module_info", &[("handler", "evc")], 1.0),
    ("handler_host_handlers", &[], 1.0),
    ("handler_host_watches", &[("state", "open")], 2.0),
    ("handler_host_watches", &[("state", "stalled")], 0.0),
    ("handler_host_handler_condition", &[("type", "Ready"), ("reason", "Serving")], 1.0),
    ("handler_host_call_memory_limit_bytes", &[("handler", "evc")], 67_108_864.0),
    ("workqueue_depth", &[("name", "evc"), ("controller", "evc")], 0.0),
    ("workqueue_retries_total", &[("name", "evc"), ("controller", "evc")], 0.0),
    ("controller_runtime_max_concurrent_reconciles", &[("controller", "evc")], 1.0),
    ("rest_client_requests_total", &[("method", "PATCH"), ("code", "201")], 10.0),
];

/// The smallest values that are right.
#[rustfmt::skip]
const AT_LEAST: [ExpectedMetric; 4] = [
    ("workqueue_adds_total", &[("name", "evc")], 10.0),
    ("controller_runtime_reconcile_total", &[("controller", "evc"), ("result", "success")], 10.0),
    ("handler_host_call_peak_memory_bytes", &[("handler", "evc")], 65_536.0),
    ("process_resident_memory_bytes", &[], 1e6),
];

#[tokio::test]
async fn metrics_tell_exactly_what_became_of_ten_claims() {
    let arguments = [LISTEN[0], LISTEN[1], IN_TURN[0], IN_TURN[1]];
    let control_plane = ControlPlane::shared().await;
    let mut claims = VolumeClaims::served_with(control_plane, "measured", &arguments).await;
    let probes = ProbeClient::of(&mut claims.operator).await;
    let names: Vec<_> = (0..CLAIMS).map(|index| format!("claim-{index}")).collect();
    join_all(names.iter().map(|name| claims.create(name, "1Gi"))).await;
    for name in &names {
        claims.ready(name).await;
    }
    for (name, labels, value) in AFTER_TEN {
        probes.measures(name, labels, value).await;
    }
    let metrics = probes.metrics().await;
    for (name, labels, value) in AFTER_TEN {
        assert_eq!(
            metrics.value(name, labels),
            Some(value),
            "{name} {labels:?}"
        );
    }
    for (name, labels, least) in AT_LEAST {
        let is = metrics.value(name, labels);
        assert!(is.is_some_and(|is| is >= least), "{name}: {is:?}");
    }
    // No label is the name of an object.
    let text = probes.get("/metrics").await.body;
    assert!(!text.contains("claim-"), "{text}");
    assert!(!text.contains(&claims.namespace.name), "{text}");

    // The handler refuses this claim.
    claims.create("bad", "huge").await;
    let evc = ("handler", "evc");
    let permanent = [evc, ("outcome", "permanent")];
    let calls = "handler_host_calls_total";
    probes.measures(calls, &permanent, 1.0).await;
    let failing = "handler_host_failing_parents";
    probes.measures(failing, &[evc], 1.0).await;
}

#[tokio::test]
async fn these_are_the_metrics_with_their_types_and_labels() {
    let arguments = [LISTEN[0], LISTEN[1], IN_TURN[0], IN_TURN[1]];
    let mut claims =
        VolumeClaims::served_with(ControlPlane::shared().await, "named", &arguments).await;
    let probes = ProbeClient::of(&mut claims.operator).await;
    claims.create_ready("claim", "1Gi").await;
    let answer = probes.get("/metrics").await;
    assert_snapshot!(answer.content_type, @"text/plain; version=0.0.4; charset=utf-8");
    assert_snapshot!(outline(&answer.body), @r"
    gauge     controller_runtime_active_workers {controller}
    gauge     controller_runtime_max_concurrent_reconciles {controller}
    counter   controller_runtime_reconcile_errors_total {controller}
    histogram controller_runtime_reconcile_time_seconds {controller}
    counter   controller_runtime_reconcile_total {controller, result}
    gauge     handler_host_build_info {version}
    histogram handler_host_call_duration_seconds {handler}
    gauge     handler_host_call_memory_limit_bytes {handler}
    gauge     handler_host_call_peak_memory_bytes {handler}
    counter   handler_host_calls_total {handler, outcome}
    gauge     handler_host_failing_parents {handler}
    gauge     handler_host_handler_condition {handler, reason, type}
    gauge     handler_host_handlers {}
    counter   handler_host_memo_hits_total {handler}
    gauge     handler_host_module_info {digest, handler}
    gauge     handler_host_parents {handler}
    counter   handler_host_skipped_passes_total {handler, reason}
    counter   handler_host_swaps_total {handler, outcome}
    gauge     handler_host_watches {state}
    counter   handler_host_writes_total {handler, outcome, write}
    counter   process_cpu_seconds_total {}
    gauge     process_max_fds {}
    gauge     process_open_fds {}
    gauge     process_resident_memory_bytes {}
    gauge     process_start_time_seconds {}
    gauge     process_virtual_memory_bytes {}
    counter   rest_client_requests_total {code, method}
    counter   workqueue_adds_total {controller, name}
    gauge     workqueue_depth {controller, name}
    gauge     workqueue_longest_running_processor_seconds {controller, name}
    histogram workqueue_queue_duration_seconds {controller, name}
    counter   workqueue_retries_total {controller, name}
    gauge     workqueue_unfinished_work_seconds {controller, name}
    histogram workqueue_work_duration_seconds {controller, name}
    ");

    let open = probes.ask("GET", "/metrics", OPENMETRICS).await;
    assert_snapshot!(open.content_type, @"application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    assert!(open.body.contains("\nworkqueue_adds_total{"));
}

/// The type, the name and the labels of each metric, without the values.
fn outline(text: &str) -> String {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in ScrapedMetrics::read(text).samples() {
        let known = labels.entry(sample.metric.clone()).or_default();
        known.extend(sample.labels.keys().cloned());
    }
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut outline: Vec<String> = types
        .map(|line| {
            let (name, type_) = line.split_once(' ').unwrap();
            let found = [name.to_owned(), format!("{name}_count")];
            let found = found.iter().find_map(|name| labels.get(name));
            let labels = found.map_or_else(
                || "?".to_owned(),
                |them| them.iter().cloned().collect::<Vec<_>>().join(", "),
            );
            format!("{type_:9} {name} {{{labels}}}")
        })
        .collect();
    outline.sort_by_key(|line| line[10..].to_owned());
    outline.join("\n")
}

#[tokio::test]
async fn the_series_of_a_module_and_of_a_handler_that_are_gone_go_too() {
    let mut hosted = Hosted::start_with("series", &LISTEN).await;
    let probes = ProbeClient::of(&mut hosted.operator).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &one).await;
    let name = hosted.name("evc");
    let of = ("handler", name.as_str());
    probes
        .measures("handler_host_module_info", &[of, ("digest", &one)], 1.0)
        .await;
    hosted.make(&names(3)).await;
    hosted.ready(&names(3)).await;
    probes.measures("handler_host_parents", &[of], 3.0).await;

    let two = hosted.put("evc.wasm", "two", "ok");
    hosted.serves("evc", &two).await;
    let swaps = "handler_host_swaps_total";
    probes
        .measures(swaps, &[of, ("outcome", "loaded")], 2.0)
        .await;
    let metrics = probes.metrics().await;
    let info = |digest| metrics.value("handler_host_module_info", &[of, ("digest", digest)]);
    assert_eq!((info(&one), info(&two)), (None, Some(1.0)));

    write_atomically(&hosted.path("evc.wasm"), b"no module");
    probes
        .measures(swaps, &[of, ("outcome", "refused")], 1.0)
        .await;
    let invalid = [of, ("type", "ModuleLoaded"), ("reason", "InvalidModule")];
    probes
        .measures("handler_host_handler_condition", &invalid, 0.0)
        .await;

    hosted.delete("evc").await;
    probes.measures("handler_host_handlers", &[], 0.0).await;
    eventually("no series of it", DEADLINE, async || {
        let text = probes.get("/metrics").await.body;
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&name)).collect();
        if lines.is_empty() {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_module_that_traps_is_counted_as_such_and_as_rolled_back() {
    let mut hosted = Hosted::start_with("counted", &LISTEN).await;
    let probes = ProbeClient::of(&mut hosted.operator).await;
    let one = hosted.put("evc.wasm", "one", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &one).await;
    hosted.make(&names(3)).await;
    hosted.ready(&names(3)).await;
    hosted.put("evc.wasm", "two", "trap");
    let name = hosted.name("evc");
    let of = ("handler", name.as_str());
    let rolled_back = [of, ("outcome", "rolled_back")];
    probes
        .measures("handler_host_swaps_total", &rolled_back, 1.0)
        .await;
    let metrics = probes.metrics().await;
    let trapped = metrics.value("handler_host_calls_total", &[of, ("outcome", "trapped")]);
    assert!(trapped.is_some_and(|count| count >= 1.0), "{trapped:?}");
    let running = metrics.value("handler_host_module_info", &[of, ("digest", &one)]);
    assert_eq!(running, Some(1.0));
}
