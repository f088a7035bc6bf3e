//! What claims cost, measured on a control plane of its own: `just bench`.
//!
//! The bench prints every rate beside the rate of a bare client in the same run. That client creates the same volume
//! claims directly, so its rate is the highest that this API server reaches on this machine.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails has nothing to print but the failure"
)]

use std::collections::HashMap;
use std::ffi::OsStr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt};
use handler_host_tests::namespace::Appearances;
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::objects::object;
use handler_host_tests::{
    ControlPlane, Namespace, Operator, TestAccount, evc, eventually, handler_host, paths,
};
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

const BURST: usize = 500;
const CONNECTIONS: usize = 16;
const LONE: usize = 50;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    // `cargo test --benches` runs each bench to see that it starts. This bench has no short form.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let control_plane = ControlPlane::shared().await;
    let ceiling = bare_client(control_plane).await?;
    let namespace = Namespace::create(control_plane, "bench").await;
    let mut operator = start(control_plane, &namespace).await;
    let idle = operator.usage();
    println!("idle host: {} MiB resident", mib(idle.resident));
    lone_claims(&namespace).await?;
    burst(control_plane, &namespace, &operator, ceiling).await?;
    fill(&namespace, 1000).await?;
    operator.terminate().await;
    restart(control_plane, &namespace).await;
    preview(control_plane, &namespace).await
}

async fn start(control_plane: &'static ControlPlane, namespace: &Namespace) -> Operator {
    let module = paths::guest("evc").unwrap();
    let mut operator = Operator::of(control_plane, TestAccount::Host)
        .module(module)
        .namespace(&namespace.name)
        .start();
    operator.wait_for_line("serving", PATIENCE).await;
    operator
}

/// Creates objects over several connections. Returns when each request was sent.
async fn create(api: &Api<DynamicObject>, objects: Vec<Value>) -> Result<HashMap<String, Instant>> {
    let requests = objects.into_iter().map(|object| async move {
        let object: DynamicObject = serde_json::from_value(object)?;
        let name = object.metadata.name.clone().unwrap_or_default();
        let sent = Instant::now();
        api.create(&PostParams::default(), &object).await?;
        anyhow::Ok((name, sent))
    });
    let stream = futures::stream::iter(requests).buffer_unordered(CONNECTIONS);
    stream.try_collect().await
}

async fn bare_client(control_plane: &'static ControlPlane) -> Result<f64> {
    let namespace = Namespace::create(control_plane, "bare").await;
    let spec = json!({"spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1G"}},
    }});
    let claims = |range: std::ops::Range<usize>| {
        range
            .map(|i| object(PVC.0, PVC.1, &format!("bare-{i}"), &spec))
            .collect()
    };
    // The first requests open the connections and fill the caches of the API server, so they are not measured.
    create(&namespace.api(PVC), claims(0..CONNECTIONS * 2)).await?;
    let started = Instant::now();
    create(&namespace.api(PVC), claims(1000..1000 + BURST)).await?;
    let rate = BURST as f64 / started.elapsed().as_secs_f64();
    println!("bare client, {CONNECTIONS} connections: {rate:.0} PVCs/s");
    Ok(rate)
}

async fn lone_claims(namespace: &Namespace) -> Result<()> {
    let mut delays = Vec::new();
    // All claims use one watch. A new watch would take the idle connection, and the claim would wait for another one.
    let mut watch = Appearances::in_namespace(namespace).await?;
    for i in 0..LONE {
        let name = format!("lone-{i}");
        let sent = create(&namespace.api(CLAIM), vec![evc(&name, "1G")]).await?;
        let seen = watch.next(1).await?;
        delays.push(seen[&name] - sent[&name]);
    }
    delays.sort();
    println!(
        "one claim on an idle host, request to PVC seen: {}",
        quantiles(&delays)
    );
    Ok(())
}

async fn burst(
    control_plane: &'static ControlPlane,
    namespace: &Namespace,
    operator: &Operator,
    ceiling: f64,
) -> Result<()> {
    let mark = control_plane.audit().mark();
    let before = operator.usage();
    let claims = (0..BURST)
        .map(|i| evc(&format!("burst-{i}"), "1G"))
        .collect();
    let api = namespace.api(CLAIM);
    let mut watch = Appearances::in_namespace(namespace).await?;
    let started = Instant::now();
    let (seen, sent) = tokio::try_join!(watch.next(BURST), create(&api, claims))?;
    let last = seen.values().max().unwrap().duration_since(started);
    let sending = sent.values().max().unwrap().duration_since(started);
    all_ready(namespace).await;
    let settled = started.elapsed();
    let after = operator.usage();
    let mut delays: Vec<_> = seen.iter().map(|(name, at)| *at - sent[name]).collect();
    delays.sort();
    let rate = BURST as f64 / last.as_secs_f64();
    let requests = control_plane
        .audit_since(&mark)
        .await
        .by("handler-host")
        .only(|entry| entry.name.starts_with("burst-"));
    let count = |resource: &str| requests.resource(resource).writes().count();
    println!(
        "burst of {BURST} claims, sent within {:.2} s:",
        sending.as_secs_f64()
    );
    println!(
        "  {rate:.0} claims/s served ({:.2} of the bare client), request to PVC seen: {}",
        rate / ceiling,
        quantiles(&delays)
    );
    println!("  all Ready after {:.2} s", settled.as_secs_f64());
    println!(
        "  CPU {:.2} ms a claim; {} MiB resident, {} MiB at most",
        (after.cpu - before.cpu).as_secs_f64() * 1000.0 / BURST as f64,
        mib(after.resident),
        mib(after.peak_resident)
    );
    println!(
        "  requests by the host: {} PVC writes, {} status writes, {} Events, {} others",
        count("persistentvolumeclaims"),
        count("ephemeralvolumeclaims"),
        count("events"),
        requests.only(|entry| !entry.is_write()).count()
    );
    Ok(())
}

async fn fill(namespace: &Namespace, total: usize) -> Result<()> {
    let more = total.saturating_sub(namespace.list(CLAIM).await.len());
    let claims = (0..more).map(|i| evc(&format!("more-{i}"), "1G")).collect();
    create(&namespace.api(CLAIM), claims).await?;
    all_ready(namespace).await;
    Ok(())
}

async fn restart(control_plane: &'static ControlPlane, namespace: &Namespace) {
    let mark = control_plane.audit().mark();
    let started = Instant::now();
    let operator = start(control_plane, namespace).await;
    let serving = started.elapsed();
    // The host works on this claim after all earlier ones, so it has looked at all claims when this one is ready.
    namespace.create_object(&evc("last", "1G")).await.unwrap();
    namespace
        .wait_for_ready(CLAIM, "last", "True", "Reconciled", PATIENCE)
        .await;
    let requests = control_plane.audit_since(&mark).await.by("handler-host");
    let others = requests.only(|entry| !entry.uri.contains("/last") && entry.resource != "events");
    let usage = operator.usage();
    println!(
        "restart over {} settled claims: caches filled after {:.2} s; all looked at, and one new claim ready, after {:.2} s",
        namespace.list(CLAIM).await.len() - 1,
        serving.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    println!(
        "  {} writes to settled claims, {} requests in all besides the new claim's; CPU {:.2} s, {} MiB resident",
        others.writes().count(),
        others.count(),
        usage.cpu.as_secs_f64(),
        mib(usage.resident)
    );
}

/// The number of claims whose labels change while no host runs. The volume claims carry these labels too.
const CHANGED: usize = 10;

async fn preview(control_plane: &'static ControlPlane, namespace: &Namespace) -> Result<()> {
    let claims = namespace.list(CLAIM).await;
    let label = json!({"metadata": {"labels": {"previewed": "yes"}}});
    for claim in claims.iter().take(CHANGED) {
        let name = claim["metadata"]["name"].as_str().unwrap();
        namespace.merge(CLAIM, name, &label).await?;
    }
    let (module, kubeconfig) = (
        paths::guest("evc")?,
        control_plane.kubeconfig(TestAccount::Host),
    );
    let arguments = [
        OsStr::new("diff"),
        OsStr::new("--module"),
        module.as_os_str(),
        OsStr::new("--namespace"),
        OsStr::new(&namespace.name),
        OsStr::new("--kubeconfig"),
        kubeconfig.as_os_str(),
    ];
    let mark = control_plane.audit().mark();
    let started = Instant::now();
    let output = handler_host(arguments).await;
    let took = started.elapsed();
    let requests = control_plane.audit_since(&mark).await.by("handler-host");
    let shown = output.stdout.matches("\n+++ ").count();
    if output.code != Some(1) || shown != CHANGED {
        bail!(
            "{shown} changes shown, code {:?}: {}",
            output.code,
            output.stderr
        );
    }
    println!(
        "preview over {} claims of which {CHANGED} change: {shown} shown after {:.2} s",
        claims.len(),
        took.as_secs_f64()
    );
    println!(
        "  {} dry runs, {} writes, {} requests in all",
        requests.dry_runs().count(),
        requests.writes().count(),
        requests.count()
    );
    Ok(())
}

async fn all_ready(namespace: &Namespace) {
    eventually("every claim is Ready", PATIENCE, async || {
        let claims = namespace.list(CLAIM).await;
        let is_ready = |claim: &&Value| claim["status"]["conditions"][0]["status"] == "True";
        let ready = claims.iter().filter(is_ready).count();
        if ready == claims.len() {
            Ok(())
        } else {
            Err(format!("{ready} of {}", claims.len()))
        }
    })
    .await;
}

fn quantiles(sorted: &[Duration]) -> String {
    let at =
        |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    format!("p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99))
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
