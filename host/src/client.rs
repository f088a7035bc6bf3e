use std::path::Path;

use anyhow::{Result, anyhow};
use handler_host_cluster::Traffic;
use handler_host_core::HOST;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::arguments::ClusterArguments;

/// A client for the cluster that the arguments name, whose traffic is noted. Whether anybody answers, its
/// requests tell.
pub(crate) async fn connect(arguments: &ClusterArguments, traffic: &Traffic) -> Result<Client> {
    let kubeconfig = arguments.kubeconfig.as_deref();
    let mut config = configuration(kubeconfig, arguments.context.as_deref()).await?;
    let agent = format!("{HOST}/{}", env!("CARGO_PKG_VERSION"));
    // kube would try again inside each request, for minutes and unseen, while a worker waits for it.
    config.default_retry = false;
    config
        .headers
        .push((http::header::USER_AGENT, agent.parse()?));
    let builder = ClientBuilder::try_from(config).map_err(|error| {
        anyhow!(
            "the cluster configuration will not do: {}",
            handler_host_cluster::connection_problem(&error)
        )
    })?;
    Ok(builder.with_layer(traffic).build())
}

async fn configuration(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let remedy = "set --kubeconfig or KUBECONFIG to a file that `kubectl` can use";
    if let Some(path) = kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(|error| {
            anyhow!(
                "kubeconfig {}: {}; {remedy}",
                path.display(),
                innermost(&error)
            )
        })?;
        return Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|error| {
                anyhow!(
                    "kubeconfig {}: {}; {remedy}",
                    path.display(),
                    innermost(&error)
                )
            });
    }
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        Err(outside) => Config::incluster().map_err(|_| {
            anyhow!(
                "no cluster configuration: {}, and this is no Pod; {remedy}",
                innermost(&outside)
            )
        }),
    }
}

/// The innermost cause of an error in one line.
fn innermost(error: &dyn std::error::Error) -> String {
    // A YAML error goes on with a drawing of the place.
    let text = handler_host_cluster::innermost_cause(error);
    let line = text.lines().next().unwrap_or_default();
    line.replace(": error: ", ": ")
}
