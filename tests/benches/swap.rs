//! What a swap costs. The bench creates claims while their module is swapped again and again: `just bench`.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails has nothing to print but the failure"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use handler_host_tests::objects::kinds::{CLAIM, PVC};
use handler_host_tests::objects::things::thing;
use handler_host_tests::{Hosted, evc, eventually, variant, write_atomically};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::Value;

const CLAIMS: usize = 1000;
const SWAPS: usize = 20;
/// The time between two swaps. The last claims are created at about the time of the last swap.
const PAUSE: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::main]
async fn main() -> Result<()> {
    // `cargo test --benches` runs each bench to see that it starts. This bench has no short form.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let hosted = Hosted::start("swaps").await;
    let first = hosted.put("evc.wasm", "v0", "ok");
    hosted.apply("evc", &hosted.claims_from("evc.wasm")).await;
    hosted.serves("evc", &first).await;

    let mark = hosted.mark();
    let (watched, renamed) = futures::join!(watch(&hosted), async {
        let (made, renamed) = futures::join!(make(&hosted), swap(&hosted));
        made.map(|()| renamed)
    });
    let (first_seen, history) = watched?;
    let renamed = renamed?;
    all_follow(&hosted).await;
    let mut delays: Vec<Duration> = renamed
        .iter()
        .filter_map(|(name, at)| first_seen.get(name).map(|seen| *seen - *at))
        .collect();
    delays.sort();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64();
    println!(
        "{CLAIMS} claims while the module was swapped {SWAPS} times, each {PAUSE:?}: file renamed to first result of the new module p50 {:.2} s, p99 {:.2} s",
        at(0.5),
        at(0.99)
    );
    let claims = hosted.namespace.list(CLAIM).await.len();
    let volumes = hosted.namespace.list(PVC).await.len();
    let writes = hosted
        .requests(&mark)
        .await
        .writes()
        .resource("persistentvolumeclaims");
    let ok = writes.only(|entry| entry.code < 300);
    let twice = ok_by_name(
        &ok.iter()
            .map(|entry| entry.name.clone())
            .collect::<Vec<_>>(),
        &history,
    );
    println!(
        "  {claims} claims, {volumes} volume claims, all of the last module; {} writes of volume claims, {twice} of them by a module that had written the same before; {} MiB resident",
        ok.count(),
        hosted.operator.usage().resident >> 20
    );
    println!(
        "  compiling alone: {}; {} modules took over",
        compiling(&hosted),
        hosted.operator.lines_with("swapped the module").len()
    );
    many().await;
    Ok(())
}

/// How long each module took to compile, by the log of the host.
fn compiling(hosted: &Hosted) -> String {
    let mut millis: Vec<u64> = hosted
        .operator
        .lines_with("compiled")
        .iter()
        .filter_map(|line| line.split("ms=").nth(1)?.trim().parse().ok())
        .collect();
    millis.sort_unstable();
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
    format!("p50 {} ms, p99 {} ms", at(0.5), at(0.99))
}

/// Prints the memory of a host with one Handler, and with ten Handlers for ten kinds.
async fn many() {
    let hosted = Hosted::start("many").await;
    for index in 0..10 {
        hosted.install_thing(index).await;
        let digest = hosted.put(&format!("{index}.wasm"), &format!("v{index}"), "ok");
        hosted
            .apply(&thing(index), &hosted.things_from(index))
            .await;
        hosted.serves(&thing(index), &digest).await;
        if index == 0 || index == 9 {
            let mib = hosted.operator.usage().resident >> 20;
            println!("{} handlers in one host: {mib} MiB resident", index + 1);
        }
    }
}

/// The number of writes of volume claims, beyond one for each variant that a volume claim had.
fn ok_by_name(writes: &[String], history: &BTreeMap<String, BTreeSet<String>>) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in writes {
        *counts.entry(name).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(name, count)| count.saturating_sub(history.get(name).map_or(0, BTreeSet::len)))
        .sum()
}

async fn make(hosted: &Hosted) -> Result<()> {
    let api = hosted.namespace.api(CLAIM);
    let every = (PAUSE * u32::try_from(SWAPS)?) / u32::try_from(CLAIMS)?;
    let mut turn = tokio::time::interval(every);
    for index in 0..CLAIMS {
        turn.tick().await;
        let claim = serde_json::from_value(evc(&format!("claim-{index}"), "1Gi"))?;
        api.create(&PostParams::default(), &claim).await?;
    }
    Ok(())
}

/// Swaps the module. Returns when each variant was put in place.
async fn swap(hosted: &Hosted) -> BTreeMap<String, Instant> {
    let mut renamed = BTreeMap::new();
    let mut turn = tokio::time::interval(PAUSE);
    for index in 1..=SWAPS {
        turn.tick().await;
        let name = format!("v{index}");
        let bytes = variant(&name, "ok");
        let at = Instant::now();
        write_atomically(&hosted.path("evc.wasm"), &bytes);
        renamed.insert(name, at);
    }
    renamed
}

/// When each variant was first seen on a volume claim, and which variants each volume claim had.
type VariantHistory = (
    BTreeMap<String, Instant>,
    BTreeMap<String, BTreeSet<String>>,
);

/// Watches the volume claims until all of them have the last variant.
async fn watch(hosted: &Hosted) -> Result<VariantHistory> {
    let (mut first_seen, mut history) =
        (BTreeMap::new(), BTreeMap::<String, BTreeSet<String>>::new());
    let last = format!("v{SWAPS}");
    let mut done = BTreeSet::new();
    let api = hosted.namespace.api(PVC);
    let mut version = api
        .list(&ListParams::default())
        .await?
        .metadata
        .resource_version
        .unwrap_or_default();
    while done.len() < CLAIMS {
        let mut stream = Box::pin(api.watch(&WatchParams::default(), &version).await?);
        while let Some(event) = stream.try_next().await? {
            let object = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => object,
                WatchEvent::Error(status) => bail!("the watch failed: {}", status.message),
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => continue,
            };
            let name = object.metadata.name.clone().unwrap_or_default();
            let labels = object.metadata.labels.unwrap_or_default();
            let variant = labels
                .get("variant")
                .context("a volume claim without variant")?;
            version = object.metadata.resource_version.unwrap_or_default();
            first_seen
                .entry(variant.clone())
                .or_insert_with(Instant::now);
            history
                .entry(name.clone())
                .or_default()
                .insert(variant.clone());
            if *variant == last {
                done.insert(name);
            }
            if done.len() >= CLAIMS {
                break;
            }
        }
    }
    Ok((first_seen, history))
}

async fn all_follow(hosted: &Hosted) {
    let last = format!("v{SWAPS}");
    eventually(
        "every claim ends as the last module says",
        PATIENCE,
        async || {
            let volumes = hosted.namespace.list(PVC).await;
            let follow = |it: &&Value| it["metadata"]["labels"]["variant"] == last.as_str();
            let ready = hosted.namespace.list(CLAIM).await;
            let ready = ready
                .iter()
                .filter(|it| it["status"]["conditions"][0]["status"] == "True")
                .count();
            let count = volumes.iter().filter(follow).count();
            if count == CLAIMS && ready == CLAIMS {
                Ok(())
            } else {
                Err(format!("{count}, {ready} ready"))
            }
        },
    )
    .await;
}
