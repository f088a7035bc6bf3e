use std::path::Path;

use anyhow::{Result, bail};
use handler_host_cluster::resource::Handler;
use handler_host_core::{Account, GrantRequest, ModuleLocation, Settings};
use handler_host_engine::Runtime;
use kube::Client;
use tokio::task::spawn_blocking;

use crate::arguments::{ModuleArguments, RbacArguments};
use crate::{handlers, module};

/// A handler for which the command prints roles.
pub(super) struct RbacHandler {
    pub(super) request: GrantRequest,
    /// The account that its Handler names.
    pub(super) account: Option<Account>,
    /// Whether its parents get a finalizer; None if no module could say.
    pub(super) has_finalizer: Option<bool>,
}

/// The handlers that the arguments name.
pub(super) async fn handlers_of(
    arguments: &RbacArguments,
    client: Option<&Client>,
) -> Result<Vec<RbacHandler>> {
    if arguments.handlers.is_empty() {
        return Ok(vec![of_module(arguments, client).await?]);
    }
    let mut all = Vec::new();
    for which in &arguments.handlers {
        for handler in handlers::find(which, client).await? {
            all.push(of_handler(handler, arguments.module.as_deref()).await?);
        }
    }
    Ok(all)
}

/// The module without a named Handler. If a Handler in the cluster serves the kind of its parents, the roles are for that
/// one. Else they are for what `run --module` would run, which is granted the kinds that the module describes.
async fn of_module(arguments: &RbacArguments, client: Option<&Client>) -> Result<RbacHandler> {
    let Some(path) = arguments.module.clone() else {
        bail!("no handler is named; name one with --module or --handler");
    };
    let only = &arguments.only;
    let (name, on_parent_delete) = (only.name.clone(), only.on_parent_delete.into());
    let module = ModuleArguments {
        module: path.clone(),
        config: only.config.clone(),
        limits: only.limits.clone(),
    };
    let load = move || module::load(&Runtime::new(1, None)?, &module);
    let loaded = spawn_blocking(load).await??;
    if let (Some(client), None, true) = (client, &name, only.config.is_empty())
        && let Some(server) =
            handlers::serving(&loaded.description.parent, &loaded.suggested_name, client).await
    {
        return of_handler(server, Some(&path)).await;
    }
    let name = name.unwrap_or(loaded.suggested_name);
    let request = GrantRequest::of_description(&name, &loaded.description, on_parent_delete);
    request.grant()?;
    Ok(RbacHandler {
        request,
        account: None,
        has_finalizer: Some(loaded.description.has_finalizer),
    })
}

/// A Handler's grant request and account. Only a module says whether parents get a finalizer: the module that the
/// arguments name, else the one that runs (by the Handler's status), else the file that the Handler names.
async fn of_handler(handler: Handler, named: Option<&Path>) -> Result<RbacHandler> {
    let settings = Settings::try_from(&handler)?;
    let described = handler.status.and_then(|status| status.described);
    let has_finalizer = match (named, described.and_then(|kinds| kinds.finalizer)) {
        (Some(path), _) => Some(asks_for_finalizer(path, &settings).await?),
        (None, Some(has_finalizer)) => Some(has_finalizer),
        (None, None) => match &settings.module.location {
            // A file that cannot be loaded here may exist where the host runs, so an error is not reported.
            ModuleLocation::File(path) => asks_for_finalizer(path, &settings).await.ok(),
            ModuleLocation::ConfigMap { .. } | ModuleLocation::Image(_) => None,
        },
    };
    Ok(RbacHandler {
        request: GrantRequest::from(&settings),
        account: settings.account,
        has_finalizer,
    })
}

async fn asks_for_finalizer(path: &Path, settings: &Settings) -> Result<bool> {
    let (path, config, limits) = (
        path.to_owned(),
        settings.config.clone(),
        settings.call_limits,
    );
    let describe = move || {
        let component = module::compile(&Runtime::new(1, None)?, &path)?;
        module::describe(&component, &path, &config, limits)
    };
    Ok(spawn_blocking(describe).await??.has_finalizer)
}
