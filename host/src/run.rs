use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use handler_host_cluster::Activation;
use handler_host_core::{Grant, Kind, OnParentDelete, Scope};
use handler_host_engine::Runtime;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::RunArguments;
use crate::{client, module, telemetry};

/// How long a stopping host lets writes end, beyond the longest that a call may take.
const WRITES_PATIENCE: Duration = Duration::from_secs(10);

/// Serves a handler until the host is told to stop.
pub(crate) fn run(arguments: RunArguments) -> Result<ExitCode> {
    telemetry::start(arguments.log_format);
    let threads = tokio::runtime::Runtime::new().context("the async runtime does not start")?;
    let outcome = threads.block_on(run_until_stopped(arguments));
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
    let mut stop = std::pin::pin!(stop);
    let (client, activation) = tokio::select! {
        prepared = prepare(arguments) => prepared?,
        () = &mut stop => return Ok(()),
    };
    handler_host_cluster::run(client, activation, stop).await?;
    Ok(())
}

async fn prepare(arguments: RunArguments) -> Result<(Client, Activation)> {
    let cluster = arguments.cluster.clone();
    tracing::debug!(module = %arguments.module.module.display(), "loading the module");
    let activation = tokio::task::spawn_blocking(move || activation(&arguments)).await??;
    Ok((client::connect(&cluster).await?, activation))
}

fn activation(arguments: &RunArguments) -> Result<Activation> {
    let runtime = Runtime::new(arguments.concurrency)?;
    let loaded = module::load(&runtime, &arguments.module)?;
    let name = arguments.name.clone().unwrap_or(loaded.suggested_name);
    // What can never be granted is told before any cluster is asked; the real scopes are checked there.
    Grant::of_description(&name, &loaded.description, OnParentDelete::Delete, |_| {
        Scope::Namespaced
    })?;
    let children: Vec<_> = loaded
        .description
        .children
        .iter()
        .map(Kind::to_string)
        .collect();
    tracing::info!(
        handler = %name,
        digest = %loaded.component.digest().short(),
        parent = %loaded.description.parent,
        children = %children.join(", "),
        finalizer = loaded.description.has_finalizer,
        "granting what the module describes"
    );
    Ok(Activation {
        invoke: Arc::new(loaded.component.into_handler(&name, loaded.limits)),
        name,
        description: loaded.description,
        config: loaded.config,
        on_parent_delete: arguments.on_parent_delete.into(),
        stop_patience: loaded.limits.deadline + WRITES_PATIENCE,
        concurrency: usize::try_from(arguments.concurrency)?,
        namespaces: arguments.namespaces.clone(),
    })
}
