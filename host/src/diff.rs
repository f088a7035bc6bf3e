use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use handler_host_cluster::{CallableModule, Candidate, PREVIEW_CALLS, PreviewProgress, preview};
use handler_host_core::{
    Change, ChildChange, GrantRequest, Key, Kind, NewFailure, Preview, Settings,
};
use handler_host_engine::Runtime;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::arguments::{DiffArguments, DiffOutput};
use crate::client::ClientLayers;
use crate::summary::{ChangeCounts, plural, summary};
use crate::unified::{Paint, unified};
use crate::{client, handlers, module, telemetry};

/// The exit code when there is no preview. The exit code 1 means that something would change.
const NO_PREVIEW: u8 = 2;

/// Shows what a module would change in a cluster.
pub(crate) fn diff(arguments: &DiffArguments) -> ExitCode {
    telemetry::start_quietly();
    let outcome = tokio::runtime::Runtime::new()
        .context("the async runtime does not start")
        .and_then(|threads| {
            let outcome = threads.block_on(show(arguments));
            threads.shutdown_background();
            outcome
        });
    outcome.unwrap_or_else(|error| {
        telemetry::complain(&format!("{error:#}"));
        ExitCode::from(NO_PREVIEW)
    })
}

async fn show(arguments: &DiffArguments) -> Result<ExitCode> {
    let started = Instant::now();
    let runtime = Runtime::new(PREVIEW_CALLS)?;
    let (client, candidate) = match &arguments.handler {
        Some(handler) => of_handler(handler, arguments, runtime).await?,
        None => of_module(arguments, runtime).await?,
    };
    let kind = &candidate.request.parent;
    let progress = telemetry::ProgressLine::new(plural(&kind.kind));
    let outcome = preview(&client, &candidate, |PreviewProgress { done, parents }| {
        progress.show(done, parents);
    })
    .await;
    progress.clear();
    let outcome = outcome?;
    match arguments.output {
        DiffOutput::Text => print_text(&outcome, &candidate, Paint::of(arguments.color))?,
        DiffOutput::Json => {
            telemetry::print(&serde_json::to_string_pretty(&whole(
                &outcome, &candidate,
            )?)?)?;
        }
    }
    telemetry::note(&summary(&outcome, kind, started.elapsed()));
    let is_same = outcome.changes.is_empty() && outcome.failures.is_empty();
    Ok(ExitCode::from(u8::from(!is_same)))
}

/// The module as `run --module` would run it: it is granted the kinds that it describes.
async fn of_module(arguments: &DiffArguments, runtime: Runtime) -> Result<(Client, Candidate)> {
    let module = arguments.module.clone();
    let loaded = spawn_blocking(move || module::load(&runtime, &module)).await??;
    let name = arguments.name.clone().unwrap_or(loaded.suggested_name);
    let on_parent_delete = arguments.on_parent_delete.into();
    let request = GrantRequest::of_description(&name, &loaded.description, on_parent_delete);
    // A grant that is never possible is reported before any request to a cluster.
    request.grant()?;
    let active = CallableModule {
        invoke: Arc::new(loaded.component.into_handler(&name, loaded.limits)),
        description: loaded.description,
        config: loaded.config.into(),
        limits: loaded.limits,
    };
    let client = client::connect(&arguments.cluster, &ClientLayers::reading()).await?;
    Ok((client, candidate(request, active, arguments)))
}

/// The module with the grant, config and limits of a Handler in the cluster or in a file.
async fn of_handler(
    which: &str,
    arguments: &DiffArguments,
    runtime: Runtime,
) -> Result<(Client, Candidate)> {
    let path = arguments.module.module.clone();
    let compile = move || module::compile(&runtime, &path).map(|(_, component)| component);
    let component = spawn_blocking(compile).await??;
    let client = client::connect(&arguments.cluster, &ClientLayers::reading()).await?;
    let settings = settings(which, &client).await?;
    let limits = settings.call_limits;
    let (path, config) = (arguments.module.module.clone(), settings.config.clone());
    let described = component.clone();
    let describe = move || module::describe(&described, &path, &config, limits);
    let description = spawn_blocking(describe).await??;
    let request = GrantRequest::from(&settings);
    request.grant()?.narrowed_to(&description)?;
    let active = CallableModule {
        invoke: Arc::new(component.into_handler(&settings.name, limits)),
        description,
        config: settings.config.into(),
        limits,
    };
    Ok((client, candidate(request, active, arguments)))
}

fn candidate(
    request: GrantRequest,
    active: CallableModule,
    arguments: &DiffArguments,
) -> Candidate {
    Candidate {
        request,
        active,
        namespaces: arguments.namespaces.clone(),
    }
}

/// The settings of one Handler, in a file or in the cluster.
async fn settings(which: &str, client: &Client) -> Result<Settings> {
    let mut handlers = handlers::find(which, Some(client)).await?;
    let (Some(handler), true) = (handlers.pop(), handlers.is_empty()) else {
        bail!("{which} holds several Handlers; name a file that holds one");
    };
    Ok(Settings::try_from(&handler)?)
}

fn print_text(preview: &Preview, candidate: &Candidate, paint: Paint) -> Result<()> {
    let digest = candidate.active.invoke.digest().short();
    let whose = format!("handler {}, sha256:{digest}", candidate.request.name);
    for change in &preview.changes {
        telemetry::print(&unified(change, &whose, paint)?)?;
    }
    for failure in &preview.failures {
        telemetry::print(&paint.failure(&failure_line(failure, &candidate.request.parent)))?;
    }
    Ok(())
}

fn failure_line(failure: &NewFailure, kind: &Kind) -> String {
    let NewFailure { parent, verdict } = failure;
    let (kind, reason, message) = (&kind.kind, verdict.reason.as_str(), &verdict.message);
    handler_host_core::one_line(&format!(
        "! {kind} {parent} would fail: {reason}: {message}"
    ))
}

fn whole(preview: &Preview, candidate: &Candidate) -> Result<Value> {
    let parent_kind = &candidate.request.parent;
    let digest = candidate.active.invoke.digest();
    let whose = format!(
        "handler {}, sha256:{}",
        candidate.request.name,
        digest.short()
    );
    let change_of = |change: &ChildChange| {
        anyhow::Ok(json!({
            "parent": named(parent_kind, &change.parent),
            "child": named(&change.child.kind, &change.child.key),
            "change": match change.change {
                Change::Create { .. } => "create",
                Change::Update { .. } => "change",
                Change::Delete { .. } => "delete",
            },
            "before": change.change.before(),
            "after": change.change.after(),
            "diff": unified(change, &whose, Paint::Plain)?,
        }))
    };
    let failures = preview.failures.iter().map(|failure| {
        json!({
            "parent": named(parent_kind, &failure.parent),
            "reason": failure.verdict.reason.as_str(),
            "message": failure.verdict.message,
        })
    });
    let counts = ChangeCounts::of(preview);
    Ok(json!({
        "handler": candidate.request.name,
        "digest": digest.to_string(),
        "parents": preview.parents,
        "changes": preview.changes.iter().map(change_of).collect::<Result<Vec<_>>>()?,
        "failures": failures.collect::<Vec<_>>(),
        "summary": {
            "changed": counts.changed,
            "created": counts.created,
            "deleted": counts.deleted,
            "newlyFailing": preview.failures.len(),
            "alreadyFailing": preview.already_failing,
        },
    }))
}

fn named(kind: &Kind, key: &Key) -> Value {
    json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "namespace": key.namespace.as_deref(),
        "name": &*key.name,
    })
}

#[cfg(test)]
mod tests {
    use handler_host_core::{Reason, Verdict};

    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_the_handler_says() {
        let failure = NewFailure {
            parent: Key::new(Some("default"), "b"),
            verdict: Verdict::new(Reason::PermanentFailure, "no\n! forged\u{1b}[31m"),
        };
        let kind = Kind::new("kopf.dev/v1", "EphemeralVolumeClaim").unwrap();
        assert_eq!(
            failure_line(&failure, &kind),
            "! EphemeralVolumeClaim default/b would fail: PermanentFailure: no ! forged [31m"
        );
    }
}
