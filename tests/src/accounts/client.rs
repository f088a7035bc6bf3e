//! Clients of the API server.

use std::path::Path;

use anyhow::{Context as _, Result};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

/// A client for the server and the user of a kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("cannot read kubeconfig {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    // The server is on a loopback address, which no proxy of the environment reaches.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}
