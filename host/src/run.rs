use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use handler_host_cluster::{
    Election, Fence, LeaseName, ObjectMemory, RelatedWatches, ServingOptions, watch_handlers,
};
use handler_host_core::{
    Digest, FetchedModule, GrantRequest, HOST, Kind, ModuleLocation, ModuleSource, OnParentDelete,
    RolloutPolicy, Settings,
};
use handler_host_engine::{Component, Memo, Runtime};
use handler_host_registry::{Access, Store, read_file};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::arguments::{OnlyArguments, RunArguments, TelemetryArguments};
use crate::client::{ClientLayers, Clients};
use crate::compile::compile_apart;
use crate::handlers::HandlerFiles;
use crate::probes::{Monitoring, ProbeServer};
use crate::serve::{DeclaredHandler, HandlerOrigin, HostContext, Supervisor, load, quoted};
use crate::traces::Traces;
use crate::{client, handlers, memory, module, telemetry};

/// How long a module without a Handler is on trial: whoever works on it looks at what becomes of it.
const LOOK: Duration = Duration::from_secs(5);

/// How many files of Handlers are read before a cluster is asked. What is wrong with one of these ends the host; what is
/// wrong with a later one does not keep the others from being served.
const FIRST_FILES: usize = 100;

/// Serves handlers until the host is told to stop.
pub(crate) fn run(arguments: RunArguments) -> Result<ExitCode> {
    let threads = tokio::runtime::Runtime::new().context("the async runtime does not start")?;
    let endpoint = arguments.telemetry.otlp_endpoint.as_ref();
    let traces = endpoint.map(|endpoint| Traces::to(endpoint, threads.handle().clone()));
    let traces = traces.transpose()?;
    telemetry::start(arguments.telemetry.log_format, traces.as_ref());
    let outcome = threads.block_on(run_until_stopped(arguments));
    if let Some(traces) = traces {
        traces.stop();
    }
    // A module still being loaded, or a call that outlived the host's patience, must not keep the program.
    threads.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn run_until_stopped(arguments: RunArguments) -> Result<()> {
    // Before all else: from here on, being told to stop is no failure.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let monitoring = Monitoring::default();
    let _probes = probes(&arguments.telemetry, &monitoring).await?;
    match &arguments.module {
        Some(path) => serve_module(path, &arguments, monitoring, stop).await,
        None => serve_handlers(&arguments, monitoring, stop).await,
    }
}

/// Answers those who look at the monitoring, if anybody is to.
async fn probes(
    arguments: &TelemetryArguments,
    monitoring: &Monitoring,
) -> Result<Option<ProbeServer>> {
    let Some(address) = arguments.listen else {
        return Ok(None);
    };
    let max_silence = Duration::from_secs(arguments.max_silence);
    let probes = ProbeServer::listen(address, monitoring.clone(), max_silence).await?;
    Ok(Some(probes))
}

/// Serves one module, granted what it describes.
async fn serve_module(
    path: &Path,
    arguments: &RunArguments,
    monitoring: Monitoring,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let mut stop = std::pin::pin!(stop);
    let prepare = async {
        // What is wrong with the module is told before any cluster is asked.
        let (runtime, object_memory) = runtime(arguments)?;
        let (path, only_arguments) = (path.to_owned(), arguments.only.clone());
        let (only, runtime) = tokio::task::spawn_blocking(move || {
            only(&path, &only_arguments, &runtime).map(|only| (only, runtime))
        })
        .await??;
        let host = host(
            arguments,
            (runtime, object_memory),
            None,
            monitoring,
            &Fence::open(),
        )
        .await?;
        let (host, compiled) = (Arc::new(host), Some(only.component));
        let tally = Arc::default();
        let loaded = load(&host, &only.settings, &tally, only.fetched, compiled).await;
        let loaded = loaded.map_err(|refused| anyhow!("{}", refused.message))?;
        anyhow::Ok((host, only.settings, loaded))
    };
    let (host, settings, loaded) = tokio::select! {
        prepared = prepare => prepared?,
        () = &mut stop => return Ok(()),
    };
    let origin = HandlerOrigin::Module {
        rbac_arguments: rbac_arguments(path, &settings.name, &arguments.only),
    };
    host.monitoring.readiness.handlers_are_read();
    let (_alone, leads) = watch::channel(true);
    let mut supervisor = Supervisor::new(host, origin, leads);
    supervisor
        .declare(DeclaredHandler {
            name: settings.name.clone(),
            uid: None,
            generation: None,
            settings: Ok(settings),
            is_deleting: false,
            resource: None,
            preloaded: vec![loaded],
        })
        .await;
    // The arguments fix what a Handler could change.
    supervisor.run(futures::stream::pending(), stop).await
}

/// The arguments with which `rbac` prints what the module needs.
fn rbac_arguments(path: &Path, name: &str, arguments: &OnlyArguments) -> String {
    let mut words = vec!["--module".to_owned(), quoted(&path.display().to_string())];
    words.extend(["--name".to_owned(), name.to_owned()]);
    for field in &arguments.config {
        words.extend(["--config".to_owned(), quoted(field)]);
    }
    match arguments.on_parent_delete.into() {
        OnParentDelete::Delete => {}
        OnParentDelete::Orphan => words.push("--on-parent-delete orphan".to_owned()),
    }
    words.join(" ")
}

/// What a Handler would say of a module without one. Blocks.
fn only(path: &Path, arguments: &OnlyArguments, runtime: &Runtime) -> Result<Only> {
    tracing::debug!(module = %path.display(), "loading the module");
    let config = module::config(&arguments.config)?;
    let call_limits = (&arguments.limits).into();
    let fetched = read_file(path)?;
    let compiled = compile_apart(runtime, &fetched.bytes);
    let component = compiled.map_err(|error| anyhow!("module {} {error}", path.display()))?;
    let description = module::describe(&component, path, &config, call_limits)?;
    let name = arguments.name.clone();
    let name = name.unwrap_or_else(|| module::suggested_name(&component, &description));
    let on_parent_delete = arguments.on_parent_delete.into();
    let wanted = GrantRequest::of_description(&name, &description, on_parent_delete);
    // What can never be granted is told before any cluster is asked; the real scopes are checked there.
    wanted.grant()?;
    let words = |kinds: &[Kind]| kinds.iter().map(Kind::to_string).collect::<Vec<_>>();
    let (children, related) = (words(&description.children), words(&description.related));
    tracing::info!(
        handler = %name,
        digest = %component.digest().short(),
        parent = %description.parent,
        children = %children.join(", "),
        related = %related.join(", "),
        clock = %description.clock.map_or_else(|| "none".to_owned(), |it| format!("{it:?}")),
        finalizer = description.has_finalizer,
        "granting what the module describes"
    );
    let settings = Settings {
        name,
        spec: Digest::of(config.as_bytes()),
        module: ModuleSource {
            location: ModuleLocation::File(path.to_owned()),
            pinned: None,
        },
        parent: wanted.parent,
        parent_status: wanted.parent_status,
        condition: wanted.condition,
        selection: wanted.selection,
        children: wanted.children,
        related: wanted.related,
        clock: wanted.clock,
        account: None,
        config,
        call_limits,
        limits: wanted.limits,
        rollout: RolloutPolicy {
            window: LOOK,
            ..RolloutPolicy::default()
        },
        approved: None,
        is_paused: false,
    };
    Ok(Only {
        settings,
        component,
        fetched,
    })
}

/// A module without a Handler, and what that would say.
struct Only {
    settings: Settings,
    component: Component,
    fetched: FetchedModule,
}

/// Serves Handlers, from files or from the cluster.
async fn serve_handlers(
    arguments: &RunArguments,
    monitoring: Monitoring,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let mut stop = std::pin::pin!(stop);
    let (fence, fenced) = match &arguments.lease {
        Some(lease) => (Fence::closed(), Some(lease)),
        None => (Fence::open(), None),
    };
    let prepare = async {
        // What is wrong with a file is told before any cluster is asked.
        let mut files = HandlerFiles::new(arguments.handlers.clone());
        files.read_first(FIRST_FILES)?;
        let (runtime, object_memory) = runtime(arguments)?;
        let store = store(arguments.state_dir.as_deref());
        let candidacy = match fenced {
            Some(lease) => Some(candidacy(arguments, lease, &fence, &monitoring).await?),
            None => None,
        };
        let host = host(
            arguments,
            (runtime, object_memory),
            store,
            monitoring,
            &fence,
        )
        .await?;
        anyhow::Ok((Arc::new(host), files, candidacy))
    };
    let (host, files, candidacy) = tokio::select! {
        prepared = prepare => prepared?,
        () = &mut stop => return Ok(()),
    };
    let (end_election, ended) = oneshot::channel();
    // A host alone leads.
    let (_alone, mut leads) = watch::channel(true);
    let election = candidacy.map(|(election, told)| {
        leads = told;
        tokio::spawn(election.run(ended))
    });
    let outcome = if arguments.handlers_from_cluster {
        let news = watch_handlers(host.clients.own(), &arguments.handler_selector);
        let supervisor = Supervisor::new(host, HandlerOrigin::Cluster, leads);
        supervisor.run(news, stop).await
    } else {
        let news = handlers::follow(files);
        let origin = HandlerOrigin::Files(arguments.handlers.clone());
        let supervisor = Supervisor::new(host, origin, leads);
        supervisor.run(news, stop).await
    };
    // Only now: what was under way needed it.
    drop(end_election);
    if let Some(election) = election {
        let _ = election.await;
    }
    outcome
}

/// Who this host is among those that want the lease; no process has its name twice.
async fn candidacy(
    arguments: &RunArguments,
    lease: &LeaseName,
    fence: &Fence,
    monitoring: &Monitoring,
) -> Result<(Election, watch::Receiver<bool>)> {
    // Its own writes are what opens the fence.
    let layers = ClientLayers::new(Fence::open(), monitoring.requests());
    let client = client::connect(&arguments.cluster, &layers).await?;
    let named = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|variable| {
        let value = std::env::var(variable).ok();
        value.filter(|value| !value.is_empty())
    });
    let host = named.unwrap_or_else(|| HOST.to_owned());
    let identity = format!("{host}_{:016x}", fastrand::u64(..));
    let duration = Duration::from_secs(arguments.lease_duration);
    let (fence, lease) = (fence.clone(), lease.clone());
    let meters = monitoring.metrics.clone();
    Ok(Election::new(
        client, lease, identity, duration, fence, meters,
    ))
}

/// The runtime, and the memory for objects, which calls and objects share.
fn runtime(arguments: &RunArguments) -> Result<(Runtime, ObjectMemory)> {
    let (budget, object_memory) = memory::budgets();
    Ok((Runtime::new(arguments.concurrency, budget)?, object_memory))
}

async fn host(
    arguments: &RunArguments,
    (runtime, object_memory): (Runtime, ObjectMemory),
    store: Option<Store>,
    monitoring: Monitoring,
    fence: &Fence,
) -> Result<HostContext> {
    let layers = ClientLayers::new(fence.clone(), monitoring.requests());
    let clients = Clients::connect(&arguments.cluster, layers).await?;
    Ok(HostContext {
        runtime,
        memo: Memo::new((arguments.memo << 20).min(memory::for_remembered_answers())),
        related: RelatedWatches::new(&object_memory),
        object_memory,
        access: Access {
            client: Some(clients.own()),
            scratch: store.as_ref().map(|store| store.directory().to_owned()),
            ..Access::default()
        },
        store,
        options: ServingOptions {
            namespaces: arguments.namespaces.clone(),
            concurrency: usize::try_from(arguments.concurrency)?,
            revisit_interval: Duration::from_secs(1) / arguments.revisit_rate,
            answers: memory::for_answers(),
            liveness: monitoring.liveness.clone(),
        },
        monitoring,
        clients,
    })
}

/// Where good modules are kept; None where nothing can be written.
fn store(asked: Option<&Path>) -> Option<Store> {
    let directory = match asked {
        Some(directory) => directory.to_owned(),
        None => state_directory()?,
    };
    match Store::open(&directory) {
        Ok(store) => Some(store),
        Err(error) => {
            tracing::warn!("{error}; until then the last good modules do not survive a restart");
            None
        }
    }
}

fn state_directory() -> Option<PathBuf> {
    let named = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(directory) = named("STATE_DIRECTORY") {
        return Some(directory.into());
    }
    let states = match (named("XDG_STATE_HOME"), named("HOME")) {
        (Some(states), _) => PathBuf::from(states),
        (None, Some(home)) => Path::new(&home).join(".local/state"),
        (None, None) => {
            tracing::warn!(
                "there is no $HOME to keep the last good modules in; name a place with --state-dir"
            );
            return None;
        }
    };
    Some(states.join("handler-host"))
}
