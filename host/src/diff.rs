use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use handler_host_cluster::{
    Candidate, ChildChange, NewFailure, PREVIEW_CALLS, Preview, Progress, preview,
};
use handler_host_core::{
    CallLimits, Change, Description, Grant, Invoke, Key, Kind, Limits, OnParentDelete, Scope,
};
use handler_host_engine::{Component, Runtime};
use kube::Client;
use serde_json::{Value, json};

use crate::arguments::{DiffArguments, DiffOutput};
use crate::summary::{Counts, plural, summary};
use crate::unified::{Paint, unified};
use crate::{client, module, telemetry};

/// The exit code where there is no preview; 1 says that something would change.
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
    let loaded = module::load(&runtime, &arguments.module)?;
    let on_parent_delete = arguments.on_parent_delete.into();
    let terms = Terms {
        name: arguments.name.clone().unwrap_or(loaded.suggested_name),
        children: {
            let kinds = loaded.description.children.iter().cloned();
            kinds.map(|kind| (kind, on_parent_delete)).collect()
        },
        limits: Limits::default(),
        config: loaded.config,
        call_limits: loaded.limits,
    };
    // What can never be granted is told before any cluster is asked.
    terms.grant(&loaded.description, &|_| Scope::Namespaced)?;
    let client = client::connect(&arguments.cluster).await?;
    let (component, description) = (loaded.component, loaded.description);
    let namespaces = arguments.namespaces.clone();
    let candidate = terms
        .candidate(&client, component, description, namespaces)
        .await?;
    let kind = &candidate.grant.parent;
    let progress = telemetry::ProgressLine::new(plural(&kind.kind));
    let outcome = preview(&client, &candidate, |Progress { done, parents }| {
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

/// What a module is granted and given.
struct Terms {
    name: String,
    children: Vec<(Kind, OnParentDelete)>,
    limits: Limits,
    config: String,
    call_limits: CallLimits,
}

impl Terms {
    async fn candidate(
        self,
        client: &Client,
        component: Component,
        description: Description,
        namespaces: Vec<String>,
    ) -> Result<Candidate> {
        let handler: Arc<dyn Invoke> =
            Arc::new(component.into_handler(&self.name, self.call_limits));
        let config = self.config.as_str().into();
        let candidate =
            Candidate::discovered(client, handler, description, config, namespaces, |d, s| {
                self.grant(d, s)
            });
        Ok(candidate.await?)
    }

    fn grant(
        &self,
        description: &Description,
        scope: &dyn Fn(&Kind) -> Scope,
    ) -> Result<Grant, handler_host_core::GrantError> {
        let default = OnParentDelete::default();
        let mut grant = Grant::of_description(&self.name, description, default, scope)?;
        for (kind, on_parent_delete) in &self.children {
            for child in grant
                .children
                .iter_mut()
                .filter(|child| child.kind == *kind)
            {
                child.on_parent_delete = *on_parent_delete;
            }
        }
        grant.limits = self.limits;
        Ok(grant)
    }
}

fn print_text(preview: &Preview, candidate: &Candidate, paint: Paint) -> Result<()> {
    let digest = candidate.invoke.digest().short();
    let whose = format!("handler {}, sha256:{digest}", candidate.grant.handler);
    for change in &preview.changes {
        telemetry::print(&unified(change, &whose, paint)?)?;
    }
    for failure in &preview.failures {
        telemetry::print(&paint.failure(&failure_line(failure, &candidate.grant.parent)))?;
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
    let parent_kind = &candidate.grant.parent;
    let digest = candidate.invoke.digest();
    let whose = format!(
        "handler {}, sha256:{}",
        candidate.grant.handler,
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
    let counts = Counts::of(preview);
    Ok(json!({
        "handler": candidate.grant.handler,
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
