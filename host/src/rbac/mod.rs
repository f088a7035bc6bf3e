//! Prints the RBAC manifests that a handler's account needs.

mod handlers;
mod objects;

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use handler_host_cluster::{Kinds, KindsError, PreviewError};
use handler_host_core::{GrantRequest, Rule, Scope};
use kube::Client;
use serde_json::{Value, json};

use self::handlers::{RbacHandler, handlers_of};
use self::objects::{Needs, objects};
use crate::arguments::{CrdOutput, RbacArguments};
use crate::client::ClientLayers;
use crate::{client, telemetry};

pub(crate) use self::objects::Subject;

/// The host's own account, as the manifests in host/deploy create it.
pub(crate) const HOST_ACCOUNT: &str = "handler-host/handler-host";

/// Prints the roles that handlers need, for `kubectl apply`.
pub(crate) fn rbac(arguments: &RbacArguments) -> Result<ExitCode> {
    telemetry::start_quietly();
    let threads = tokio::runtime::Runtime::new().context("the async runtime does not start")?;
    let manifests = threads.block_on(manifests(arguments));
    threads.shutdown_background();
    telemetry::print(text(&manifests?, arguments.output)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

async fn manifests(arguments: &RbacArguments) -> Result<Vec<Value>> {
    let client = match arguments.guess {
        true => None,
        false => {
            let client = client::connect(&arguments.cluster, &ClientLayers::reading()).await;
            Some(client.map_err(|error| anyhow!("{error}; or add --guess to ask no cluster"))?)
        }
    };
    let mut manifests: Vec<Value> = Vec::new();
    for RbacHandler {
        request,
        account,
        has_finalizer,
    } in handlers_of(arguments, client.as_ref()).await?
    {
        let kinds = kinds(client.as_ref(), &request).await?;
        if kinds.grant().parent_scope == Scope::Cluster && !arguments.namespaces.is_empty() {
            bail!("{}", PreviewError::Namespaces(request.parent));
        }
        if has_finalizer.is_none() {
            telemetry::note(&format!(
                "no module says whether the parents of handler {} get a finalizer, so the roles assume that they do not; if they do, add --module FILE",
                request.name
            ));
        }
        let rules = kinds.rules(has_finalizer.unwrap_or_default());
        if client.is_none() {
            telemetry::note(&guessed(&rules));
        }
        let account = arguments.service_account.clone().or(account);
        let needs = Needs {
            handler: &request.name,
            account: account.as_ref(),
            host: &arguments.host_account,
            rules: &rules,
            namespaces: &arguments.namespaces,
        };
        for object in objects(&needs) {
            // Handlers may share an account, so an object may occur twice.
            if !manifests.contains(&object) {
                manifests.push(object);
            }
        }
    }
    Ok(manifests)
}

async fn kinds(client: Option<&Client>, request: &GrantRequest) -> Result<Kinds> {
    let Some(client) = client else {
        return Ok(Kinds::guessed(request)?);
    };
    let guess = "or add --guess to ask no cluster";
    Kinds::now(client, request)
        .await
        .map_err(|error| match error {
            KindsError::NotServed(_) => anyhow!("{error}, {guess}"),
            KindsError::Refused { action, message }
            | KindsError::Unavailable { action, message } => {
                anyhow!("{action}: {message}; try again when the API server answers, {guess}")
            }
            KindsError::Grant(_) => error.into(),
        })
}

/// A note of the guesses about the kinds in these rules.
fn guessed(rules: &[Rule]) -> String {
    let plurals = rules.iter().filter(|rule| rule.subresource.is_none());
    let plurals: Vec<_> = plurals.map(Rule::place).collect();
    format!(
        "guessed that kinds are served as {}, and that parents have a status subresource",
        plurals.join(", ")
    )
}

fn text(manifests: &[Value], output: CrdOutput) -> Result<String> {
    match output {
        CrdOutput::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
            Ok(serde_json::to_string_pretty(&list)?)
        }
        CrdOutput::Yaml => {
            let documents = manifests.iter().map(serde_saphyr::to_string);
            let documents = documents.collect::<Result<Vec<_>, _>>()?;
            let documents: Vec<_> = documents.iter().map(|it| it.trim_end()).collect();
            Ok(documents.join("\n---\n"))
        }
    }
}
