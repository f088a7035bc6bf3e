use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use handler_host_cluster::resource::Handler;
use handler_host_cluster::{
    AnswerMemory, CallableModule, Candidate, ObjectMemory, PREVIEW_CALLS, PreviewProgress, now,
    preview,
};
use handler_host_core::{
    Change, ChildChange, GrantRequest, Key, Kind, NewFailure, Preview, Settings,
};
use handler_host_engine::{Component, Runtime};
use handler_host_registry::{Access, follow};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::arguments::{DiffArguments, DiffOutput, ModuleArguments};
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
    let runtime = Runtime::new(PREVIEW_CALLS, None)?;
    let (client, candidate) = match (&arguments.filename, &arguments.handler, &arguments.module) {
        (Some(file), _, _) => of_file(file, arguments, runtime).await?,
        (None, Some(handler), Some(module)) => {
            of_handler(handler, module, arguments, runtime).await?
        }
        (None, None, Some(module)) => of_module(module, arguments, runtime).await?,
        (None, _, None) => bail!("no module is named; name one with --module or -f"),
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

/// The module without a named Handler. If a Handler in the cluster serves the kind of its parents, it is tried in the name
/// of that one, with its grant, config and limits. Else it is tried as `run --module` would run it: it is granted the
/// kinds that it describes.
async fn of_module(
    path: &Path,
    arguments: &DiffArguments,
    runtime: Runtime,
) -> Result<(Client, Candidate)> {
    let module = ModuleArguments {
        module: path.to_owned(),
        config: arguments.config.clone(),
        limits: arguments.limits.clone(),
    };
    let loaded = spawn_blocking(move || module::load(&runtime, &module)).await??;
    let client = client::connect(&arguments.cluster, &ClientLayers::reading()).await?;
    let parent = &loaded.description.parent;
    let server = match arguments.name {
        Some(_) => None,
        None => handlers::serving(parent, &loaded.suggested_name, &client).await,
    };
    if let (Some(handler), true) = (&server, arguments.config.is_empty()) {
        let settings = Settings::try_from(handler)?;
        let candidate = granted(loaded.component, path.to_owned(), settings, arguments).await?;
        return Ok((client, candidate));
    }
    let name = arguments.name.clone();
    let name = name.or_else(|| server.map(|handler| handler.name_any()));
    let name = name.unwrap_or(loaded.suggested_name);
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
    Ok((client, candidate(request, active, arguments)))
}

/// The module with the grant, config and limits of a Handler in the cluster or in a file.
async fn of_handler(
    which: &str,
    path: &Path,
    arguments: &DiffArguments,
    runtime: Runtime,
) -> Result<(Client, Candidate)> {
    let (module, shown) = (path.to_owned(), path.to_owned());
    let component = spawn_blocking(move || module::compile(&runtime, &module)).await??;
    let client = client::connect(&arguments.cluster, &ClientLayers::reading()).await?;
    let settings = settings(which, &client).await?;
    let candidate = granted(component, shown, settings, arguments).await?;
    Ok((client, candidate))
}

/// A Handler in a file, as it would be applied: its module is fetched from where it says.
async fn of_file(
    file: &Path,
    arguments: &DiffArguments,
    runtime: Runtime,
) -> Result<(Client, Candidate)> {
    let client = client::connect(&arguments.cluster, &ClientLayers::reading()).await?;
    let settings = one(
        handlers::read(&[file.to_owned()])?,
        &file.display().to_string(),
    )?;
    let access = Access {
        client: Some(client.clone()),
        ..Access::default()
    };
    let fetched = pin!(follow(settings.module.clone(), access)).next().await;
    // It never ends before its first item.
    let fetched = fetched.context("the module's source gives nothing")??;
    let shown = PathBuf::from(&fetched.origin);
    let origin = shown.clone();
    let compile = move || module::compile_bytes(&runtime, &origin, &fetched.bytes);
    let component = spawn_blocking(compile).await??;
    let candidate = granted(component, shown, settings, arguments).await?;
    Ok((client, candidate))
}

/// A module within the grant of a Handler.
async fn granted(
    component: Component,
    shown: PathBuf,
    settings: Settings,
    arguments: &DiffArguments,
) -> Result<Candidate> {
    let limits = settings.call_limits;
    let (described, config) = (component.clone(), settings.config.clone());
    let describe = move || module::describe(&described, &shown, &config, limits);
    let description = spawn_blocking(describe).await??;
    let request = GrantRequest::from(&settings);
    request.grant()?.narrowed_to(&description)?;
    let active = CallableModule {
        invoke: Arc::new(component.into_handler(&settings.name, limits)),
        description,
        config: settings.config.into(),
        limits,
    };
    Ok(candidate(request, active, arguments))
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
        answers: AnswerMemory::default(),
        objects: ObjectMemory::default(),
        now: arguments.now.unwrap_or_else(now),
        shows_objects: true,
    }
}

/// The settings of one Handler, in a file or in the cluster.
async fn settings(which: &str, client: &Client) -> Result<Settings> {
    one(handlers::find(which, Some(client)).await?, which)
}

/// The settings of the only Handler.
fn one(mut handlers: Vec<Handler>, which: &str) -> Result<Settings> {
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
