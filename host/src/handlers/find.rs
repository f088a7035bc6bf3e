use anyhow::{Result, anyhow, bail};
use handler_host_cluster::connection_problem;
use handler_host_cluster::resource::Handler;
use kube::{Api, Client};

use super::read;

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
