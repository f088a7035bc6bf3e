//! What hostile handlers do to their host and to a neighbour, measured on a control plane of its own: `just hostile`.
//!
//! For each attack a host is started that serves two handlers: a neighbour, whose claims are measured, and one that attacks.
//! The neighbour is measured undisturbed, and then while the attack goes on. The host runs in a control group with the memory
//! of a small Pod, if this process may make one: HOSTILE_MIB, by default 64. HOSTILE_ONLY selects the attacks whose names begin
//! so; HANDLER_HOST_BINARY names another host to be measured.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that fails has nothing to print but the failure"
)]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use handler_host_tests::guests::hostile;
use handler_host_tests::namespace::Appearances;
use handler_host_tests::objects::kinds::{CLAIM, CONFIG_MAP, PUPPET, PVC};
use handler_host_tests::objects::{condition, text};
use handler_host_tests::operator::MemoryGroup;
use handler_host_tests::{
    ControlPlane, LISTEN, Namespace, Operator, ProbeClient, TestAccount, evc, eventually, paths,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(120);
/// Parents of the hostile handler.
const PARENTS: usize = 50;
/// Claims that are measured, and how many are made in a second.
const CLAIMS: usize = 400;
const RATE: u64 = 40;

/// What is done to the host.
enum Attack {
    /// The parents of the hostile handler name it, with its size.
    Parents(&'static str, usize),
    /// So many Handlers come, with a module and a config that are refused with a line that contains this text.
    Handlers(usize, Module, &'static str),
    /// So many connections to the probes are opened and say nothing.
    Connections(usize),
}

/// A module that attacks before it is called.
enum Module {
    /// It takes much to compile.
    Bomb,
    /// It describes so many kinds.
    Kinds(usize),
    /// Its `describe` never ends.
    Spin,
}

const ATTACKS: [Attack; 24] = [
    Attack::Parents("spin", 0),
    Attack::Parents("hold", 8 << 20),
    Attack::Parents("touch", 50 << 20),
    Attack::Parents("status", 2 << 20),
    Attack::Parents("status", 20 << 20),
    Attack::Parents("status", 250 << 10),
    Attack::Parents("values", 4 << 20),
    Attack::Parents("values", 200 << 10),
    Attack::Parents("values", 30 << 10),
    Attack::Parents("values-in-children", 200 << 10),
    Attack::Parents("deep", 100_000),
    Attack::Parents("children", 250 << 10),
    Attack::Parents("children", 20 << 10),
    Attack::Parents("many", 100_000),
    Attack::Parents("rewrite", 70 << 10),
    Attack::Parents("events", 100 << 10),
    Attack::Parents("permanent", 3 << 20),
    Attack::Parents("trap", 1 << 20),
    Attack::Parents("log", 3 << 20),
    Attack::Parents("logs", 100_000_000),
    Attack::Handlers(3, Module::Bomb, "to compile"),
    Attack::Handlers(3, Module::Kinds(200_000), "passed more"),
    Attack::Handlers(3, Module::Spin, "describing itself"),
    Attack::Connections(600),
];

#[tokio::main]
async fn main() -> Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mib: u64 = std::env::var("HOSTILE_MIB").map_or(Ok(64), |mib| mib.parse())?;
    let only = std::env::var("HOSTILE_ONLY").unwrap_or_default();
    let control_plane = ControlPlane::shared().await;
    let group = MemoryGroup::new("handler-host-hostile", mib << 20);
    println!(
        "{PARENTS} parents of each attack; the neighbour has {CLAIMS} claims, {RATE} a second; the host has {}",
        if group.is_some() {
            format!("{mib} MiB")
        } else {
            "no limit of memory".to_owned()
        }
    );
    println!(
        "| attack | told | alone p50/p99 ms | attacked p50/p99 ms | p99 × | peak MiB | at rest MiB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for attack in ATTACKS {
        if attack.name().starts_with(&only) {
            let namespace = Namespace::create(control_plane, "hostile").await;
            println!(
                "| {} {}",
                attack.name(),
                try_attack(control_plane, &namespace, group.as_ref(), &attack).await?
            );
        }
    }
    Ok(())
}

impl Attack {
    fn name(&self) -> String {
        match self {
            Self::Parents(attack, size) => format!("{attack} {size}"),
            Self::Handlers(count, Module::Bomb, _) => format!("{count} compile bombs"),
            Self::Handlers(count, Module::Kinds(kinds), _) => {
                format!("{count} modules of {kinds} kinds")
            }
            Self::Handlers(count, Module::Spin, _) => format!("{count} modules without end"),
            Self::Connections(count) => format!("{count} idle connections"),
        }
    }
}

/// Starts a host, measures, attacks, and gives the rest of the table's line.
async fn try_attack(
    control_plane: &ControlPlane,
    namespace: &Namespace,
    group: Option<&MemoryGroup>,
    attack: &Attack,
) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let volume_claim = json!({"apiVersion": PVC.0, "kind": PVC.1});
    declare(
        directory.path(),
        "neighbour",
        &paths::guest("evc")?,
        CLAIM,
        &volume_claim,
        &json!({}),
    );
    declare(
        directory.path(),
        "hostile",
        &paths::guest("hostile")?,
        PUPPET,
        &config_map,
        &json!({}),
    );
    let options = Operator::of(control_plane, TestAccount::Host)
        .arg("--handler")
        .arg(directory.path())
        .arg("--namespace")
        .arg(&namespace.name);
    let options = LISTEN
        .iter()
        .fold(options, |options, argument| options.arg(argument));
    let mut operator = match group {
        Some(group) => group.within(|| options.start()),
        None => options.start(),
    };
    let probes = ProbeClient::of(&mut operator).await;
    operator.wait_for_lines("serving", 2, PATIENCE).await;
    let alone = measure(namespace, "a").await?;
    let before = operator.usage().resident >> 20;
    let line = tokio::select! {
        line = attacked(namespace, &operator, &probes, directory.path(), attack) => line?,
        status = ended(operator.pid()) => {
            return Ok(format!("| **the host was killed** | {} | | | | {before} → {status} |", alone.times()));
        }
    };
    let (told, attacked) = line;
    let usage = operator.usage();
    // What is freed goes back to the system after a while.
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut rest = operator.usage().resident >> 20;
    while rest > before + 5 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(500)).await;
        rest = operator.usage().resident >> 20;
    }
    operator.terminate().await;
    let ratio = attacked.at(0.99) / alone.at(0.99);
    Ok(format!(
        "| {told} | {} | {} | {ratio:.1} | {} | {before} → {rest} |",
        alone.times(),
        attacked.times(),
        usage.peak_resident >> 20,
    ))
}

/// Waits until a process has ended.
async fn ended(pid: u32) -> &'static str {
    // A process that nobody has waited for has no memory any more.
    let is_running = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| status.contains("VmRSS:"))
    };
    while is_running() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    "none"
}

/// Measures the neighbour during an attack, and ends the attack. Gives what was told of it.
async fn attacked(
    namespace: &Namespace,
    operator: &Operator,
    probes: &ProbeClient,
    handlers: &Path,
    attack: &Attack,
) -> Result<(String, Delays)> {
    match attack {
        Attack::Parents(attack, size) => by_parents(namespace, attack, *size).await,
        Attack::Handlers(count, module, told) => {
            by_handlers(namespace, operator, handlers, *count, module, told).await
        }
        Attack::Connections(count) => {
            let mut connections = Vec::new();
            for _ in 0..*count {
                connections.push(TcpStream::connect(probes.address()).await?);
            }
            let asked = Instant::now();
            let answer = probes.get("/livez").await;
            let took = asked.elapsed().as_millis();
            let told = format!("/livez {} in {took} ms", answer.code);
            Ok((told, measure(namespace, "b").await?))
        }
    }
}

async fn by_parents(namespace: &Namespace, attack: &str, size: usize) -> Result<(String, Delays)> {
    let parents = hostile::attack(namespace, PARENTS, attack, size).await;
    let delays = measure(namespace, "b").await?;
    let told = reasons_told(namespace).await;
    for name in &parents {
        let _ = namespace.delete(PUPPET, name).await;
    }
    eventually("all is gone", PATIENCE, async || {
        let children = namespace.list(CONFIG_MAP).await;
        // The control plane has one of its own in each namespace.
        let children = children
            .iter()
            .filter(|child| !text(&child["metadata"]["name"]).starts_with("kube-"));
        let left = namespace.list(PUPPET).await.len() + children.count();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    Ok((told, delays))
}

async fn by_handlers(
    namespace: &Namespace,
    operator: &Operator,
    handlers: &Path,
    count: usize,
    module: &Module,
    told: &str,
) -> Result<(String, Delays)> {
    let bomb = handlers.join("bomb.wasm");
    std::fs::write(&bomb, hostile::compile_bomb())?;
    let hostile = paths::guest("hostile")?;
    let (path, config) = match module {
        Module::Bomb => (&bomb, json!({})),
        Module::Kinds(kinds) => (&hostile, json!({"describe": "kinds", "size": kinds})),
        Module::Spin => (&hostile, json!({"describe": "spin"})),
    };
    let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    for index in 0..count {
        let (name, kind) = (format!("bad-{index}"), format!("Other{index}"));
        declare(
            handlers,
            &name,
            path,
            (PUPPET.0, &kind),
            &config_map,
            &config,
        );
    }
    let delays = measure(namespace, "b").await?;
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let lines = operator.lines_with(told);
        if let Some((_, line)) = lines.first().and_then(|line| line.split_once(".wasm")) {
            break format!("{line:.90}…");
        }
        if Instant::now() > deadline {
            break format!("**{:.150}**", format!("{:?}", operator.lines().last()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    for index in 0..count {
        std::fs::remove_file(handlers.join(format!("bad-{index}.yaml")))?;
    }
    Ok((told, delays))
}

/// Writes the file of a Handler.
fn declare(
    directory: &Path,
    name: &str,
    module: &Path,
    parent: (&str, &str),
    child: &Value,
    config: &Value,
) {
    let spec = json!({
        "module": {"path": module}, "children": [child], "config": config,
        "parent": {"apiVersion": parent.0, "kind": parent.1},
    });
    hostile::write_handler(directory, name, &spec);
}

/// How long claims took, in order.
struct Delays(Vec<Duration>);

impl Delays {
    /// In milliseconds, of so many of one.
    fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0
    }

    fn times(&self) -> String {
        format!("{:.1}/{:.1}", self.at(0.5), self.at(0.99))
    }
}

/// The reasons that the parents are told, once each of them is told one.
async fn reasons_told(namespace: &Namespace) -> String {
    let reasons = eventually("every parent is told", PATIENCE, async || {
        let puppets = namespace.list(PUPPET).await;
        let ready = puppets
            .iter()
            .filter_map(|puppet| condition(puppet, "Ready"));
        let reasons: Vec<_> = ready.map(|ready| text(&ready["reason"])).collect();
        if reasons.len() == PARENTS {
            Ok(reasons)
        } else {
            Err(reasons.len())
        }
    })
    .await;
    let distinct: BTreeSet<_> = reasons.into_iter().collect();
    Vec::from_iter(distinct).join(", ")
}

/// How long each claim of the neighbour takes until its volume claim is seen.
async fn measure(namespace: &Namespace, round: &str) -> Result<Delays> {
    let mut watch = Appearances::in_namespace(namespace).await?;
    let watching = async { tokio::time::timeout(PATIENCE, watch.next(CLAIMS)).await? };
    let creating = async {
        let mut sent = HashMap::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE as u32);
        for index in 0..CLAIMS {
            tick.tick().await;
            let name = format!("{round}-{index}");
            sent.insert(name.clone(), Instant::now());
            let created = namespace.create_object(&evc(&name, "1Gi")).await;
            created.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        }
        anyhow::Ok(sent)
    };
    let (seen, sent) = tokio::try_join!(watching, creating)?;
    let mut delays: Vec<_> = seen.iter().map(|(name, at)| *at - sent[name]).collect();
    delays.sort();
    Ok(Delays(delays))
}
