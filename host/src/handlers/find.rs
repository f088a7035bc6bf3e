use anyhow::{Result, anyhow, bail};
use handler_host_cluster::connection_problem;
use handler_host_cluster::resource::Handler;
use handler_host_core::Kind;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::read;
use crate::telemetry;

/// The Handlers that a word names: those of a file or directory if it has a dot or a slash, which the name of a
/// Handler never has; else the one of that name in the cluster. Without a client no cluster is asked.
pub(crate) async fn find(which: &str, client: Option<&Client>) -> Result<Vec<Handler>> {
    if which.contains(['.', '/']) {
        return read(&[which.into()]);
    }
    let Some(client) = client else {
        bail!("--guess asks no cluster, so Handler {which} cannot be read; name a file of it");
    };
    let api: Api<Handler> = Api::all(client.clone());
    match api.get_opt(which).await {
        Ok(Some(handler)) => Ok(vec![handler]),
        Ok(None) => bail!(
            "there is no Handler {which} in the cluster; `kubectl get handlers` lists them, or name a file"
        ),
        Err(error) => Err(anyhow!(
            "Handler {which} cannot be read: {}; name a file of it",
            connection_problem(&error)
        )),
    }
}

/// The Handler in the cluster that serves a kind of parents; a note says which. Of several it is the one of this name, which
/// the module suggests. None if there is none, or if Handlers cannot be listed: then nothing says which one is meant.
pub(crate) async fn serving(parent: &Kind, name: &str, client: &Client) -> Option<Handler> {
    let api: Api<Handler> = Api::all(client.clone());
    let handlers = api.list(&ListParams::default()).await.ok()?;
    let serves = |handler: &Handler| {
        let spec = &handler.spec.parent;
        Kind::new(&spec.api_version, &spec.kind).is_ok_and(|kind| kind.is_same_kind(parent))
    };
    let mut serving: Vec<Handler> = handlers.into_iter().filter(serves).collect();
    let is_named = |handler: &Handler| handler.name_any() == name;
    let index = match serving.len() {
        1 => 0,
        _ => serving.iter().position(is_named)?,
    };
    let handler = serving.swap_remove(index);
    telemetry::note(&format!(
        "the Handler {} serves {parent}",
        handler.name_any()
    ));
    Some(handler)
}
