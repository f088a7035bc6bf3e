//! What hostile handlers do to their host and to a neighbour, measured on a control plane of its own: `just hostile`.
//!
//! One host serves two handlers: a neighbour, whose claims are measured, and one that attacks with fifty parents at a time.
//! The host runs in a control group with the memory of a small Pod, if this process may make one.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails has nothing to print but the failure"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use handler_host_tests::namespace::Appearances;
use handler_host_tests::objects::kinds::{CLAIM, PUPPET, PVC};
use handler_host_tests::objects::{condition, puppet, text};
use handler_host_tests::operator::MemoryGroup;
use handler_host_tests::{ControlPlane, Namespace, Operator, TestAccount, evc, eventually, paths};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(120);
/// Parents of the hostile handler.
const PARENTS: usize = 50;
/// Claims that are measured, and how many are made in a second.
const CLAIMS: usize = 200;
const RATE: u64 = 40;

/// Each attack, how much of it, and the reason that its parents are told.
const ATTACKS: [(&str, usize, &str); 18] = [
    ("none", 0, "Reconciled"),
    ("spin", 0, "DeadlineExceeded"),
    ("hold", 8 << 20, "DeadlineExceeded"),
    ("touch", 50 << 20, "MemoryLimitExceeded"),
    ("status", 2 << 20, "Denied"),
    ("status", 20 << 20, "MemoryLimitExceeded"),
    ("values", 4 << 20, "Denied"),
    ("values", 200 << 10, "Denied"),
    ("values-in-children", 200 << 10, "Denied"),
    ("deep", 100_000, "Denied"),
    ("children", 250 << 10, "MemoryLimitExceeded"),
    ("many", 100_000, "Denied"),
    ("rewrite", 70 << 10, "Unstable"),
    ("events", 100 << 10, "Reconciled"),
    ("permanent", 3 << 20, "PermanentFailure"),
    ("trap", 1 << 20, "Trapped"),
    ("log", 3 << 20, "Reconciled"),
    ("logs", 100_000_000, "DeadlineExceeded"),
];

#[tokio::main]
async fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mib: u64 = std::env::var("HOSTILE_MIB").map_or(Ok(64), |mib| mib.parse())?;
    let only = std::env::var("HOSTILE_ONLY").unwrap_or_default();
    let control_plane = ControlPlane::shared().await;
    let namespace = Namespace::create(control_plane, "hostile").await;
    let directory = handlers()?;
    let group = MemoryGroup::new("handler-host-hostile", mib << 20);
    println!(
        "{PARENTS} parents of each attack; the neighbour has {CLAIMS} claims, {RATE} a second; the host has {}",
        if group.is_some() {
            format!("{mib} MiB")
        } else {
            "no limit of memory".to_owned()
        }
    );
    let options = Operator::of(control_plane, TestAccount::Host)
        .arg("--handler")
        .arg(directory.path())
        .arg("--namespace")
        .arg(&namespace.name);
    let mut operator = match &group {
        Some(group) => group.within(|| options.start()),
        None => options.start(),
    };
    operator.wait_for_lines("serving", 2, PATIENCE).await;
    println!("| attack | told | p50 ms | p99 ms | peak MiB | MiB at rest |");
    println!("|---|---|---|---|---|---|");
    for (round, (attack, size, told)) in ATTACKS.into_iter().enumerate() {
        if attack != "none" && !attack.starts_with(&only) {
            continue;
        }
        attack_once(&namespace, &mut operator, round, (attack, size, told)).await?;
    }
    Ok(())
}

/// A directory with the Handlers of the neighbour and of the one that attacks.
fn handlers() -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    for (name, parent, child) in [
        (
            "neighbour",
            CLAIM,
            json!({"apiVersion": PVC.0, "kind": PVC.1}),
        ),
        (
            "hostile",
            PUPPET,
            json!({"apiVersion": "v1", "kind": "ConfigMap"}),
        ),
    ] {
        let module = paths::guest(if name == "hostile" { "hostile" } else { "evc" })?;
        let handler = json!({
            "apiVersion": "handler-host.dev/v1alpha1", "kind": "Handler", "metadata": {"name": name},
            "spec": {
                "module": {"path": module}, "children": [child],
                "parent": {"apiVersion": parent.0, "kind": parent.1},
            },
        });
        std::fs::write(
            directory.path().join(format!("{name}.yaml")),
            handler.to_string(),
        )?;
    }
    Ok(directory)
}

async fn attack_once(
    namespace: &Namespace,
    operator: &mut Operator,
    round: usize,
    (attack, size, told): (&str, usize, &str),
) -> Result<()> {
    let spec = json!({"attack": attack, "size": size});
    let parents: Vec<String> = (0..PARENTS).map(|it| format!("p{round}-{it}")).collect();
    if attack != "none" {
        for name in &parents {
            let applied = namespace.apply(&puppet(name, spec.clone())).await;
            applied.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        }
    }
    let mut delays = measure(namespace, round).await?;
    delays.sort();
    let found = match attack {
        "none" => told.to_owned(),
        _ => reason_told(namespace, told).await,
    };
    let peak = operator.usage().peak_resident >> 20;
    for name in &parents {
        let _ = namespace.delete(PUPPET, name).await;
    }
    for index in 0..CLAIMS {
        let _ = namespace.delete(CLAIM, &format!("c{round}-{index}")).await;
    }
    eventually("all is gone", PATIENCE, async || {
        let left = namespace.list(PUPPET).await.len() + namespace.list(PVC).await.len();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    // What is freed goes back to the system after a while.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let rest = operator.usage().resident >> 20;
    let at =
        |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "| {attack} {size} | {found} | {:.1} | {:.1} | {peak} | {rest} |",
        at(0.5),
        at(0.99)
    );
    Ok(())
}

/// The reason that the parents are told, in bold if it is not the expected one after two minutes.
async fn reason_told(namespace: &Namespace, expected: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let puppets = namespace.list(PUPPET).await;
        let reasons = puppets
            .iter()
            .filter_map(|puppet| condition(puppet, "Ready"));
        let mut told: Vec<_> = reasons
            .map(|ready| (text(&ready["reason"]), text(&ready["message"])))
            .collect();
        told.sort();
        if told.iter().any(|(reason, _)| reason == expected) {
            return expected.to_owned();
        }
        if Instant::now() > deadline {
            return format!("**{:.150}**", format!("{:?}", told.first()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How long each claim of the neighbour takes until its volume claim is seen.
async fn measure(namespace: &Namespace, round: usize) -> Result<Vec<Duration>> {
    let mut watch = Appearances::in_namespace(namespace).await?;
    let watching = async { tokio::time::timeout(PATIENCE, watch.next(CLAIMS)).await? };
    let creating = async {
        let mut sent = HashMap::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE as u32);
        for index in 0..CLAIMS {
            tick.tick().await;
            let name = format!("c{round}-{index}");
            sent.insert(name.clone(), Instant::now());
            let created = namespace.create_object(&evc(&name, "1Gi")).await;
            created.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        }
        anyhow::Ok(sent)
    };
    let (seen, sent) = tokio::try_join!(watching, creating)?;
    Ok(seen.iter().map(|(name, at)| *at - sent[name]).collect())
}
