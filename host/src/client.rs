use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use handler_host_cluster::{Fence, RequestLayer};
use handler_host_core::{Account, HOST};
use http::{Response, StatusCode};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::Notify;
use tower::util::MapResponseLayer;

use crate::arguments::ClusterArguments;

/// What the requests of a client go through.
pub(crate) struct ClientLayers {
    /// It writes nothing while this is closed.
    pub(crate) fence: Fence,
    /// Measures its requests, and shows that they are alive.
    pub(crate) requests: RequestLayer,
}

impl ClientLayers {
    /// Those of a command that changes nothing, and sees to it that it does not.
    pub(crate) fn reading() -> Self {
        Self {
            fence: Fence::closed(),
            requests: RequestLayer::default(),
        }
    }
}

/// Clients for one cluster, in the host's own name and in others.
pub(crate) struct Clients {
    config: Config,
    layers: ClientLayers,
    own: Client,
}

/// A client of one handler.
pub(crate) struct HandlerClient {
    pub(crate) client: Client,
    /// Told of each request that the API server refused for want of a right.
    pub(crate) refused: Arc<Notify>,
}

impl Clients {
    pub(crate) async fn connect(arguments: &ClusterArguments, layers: ClientLayers) -> Result<Self> {
        let config = configure(arguments).await?;
        let own = build(config.clone(), &layers, None)?;
        Ok(Self {
            config,
            layers,
            own,
        })
    }

    /// Acts in the host's own name; there is one, whoever asks.
    pub(crate) fn own(&self) -> Client {
        self.own.clone()
    }

    /// A new one, to be kept: each has connections of its own. Acts in the name of an account, or without one
    /// in the host's.
    pub(crate) fn of_handler(&self, account: Option<&Account>) -> Result<HandlerClient> {
        let mut config = self.config.clone();
        if let Some(account) = account {
            // Its groups are the API server's to tell.
            config.auth_info.impersonate = Some(account.user());
        }
        let refused = Arc::new(Notify::new());
        let client = build(config, &self.layers, Some(refused.clone()))?;
        Ok(HandlerClient { client, refused })
    }
}

/// A client for the cluster that the arguments name. Whether anybody answers, its requests tell.
pub(crate) async fn connect(arguments: &ClusterArguments, layers: &ClientLayers) -> Result<Client> {
    build(configure(arguments).await?, layers, None)
}

/// The one place where clients are made.
fn build(config: Config, layers: &ClientLayers, refused: Option<Arc<Notify>>) -> Result<Client> {
    let builder = ClientBuilder::try_from(config).map_err(|error| {
        anyhow!(
            "the cluster configuration will not do: {}",
            handler_host_cluster::connection_problem(&error)
        )
    })?;
    let look = MapResponseLayer::new(move |response: Response<_>| {
        if let Some(refused) = &refused
            && response.status() == StatusCode::FORBIDDEN
        {
            refused.notify_one();
        }
        response
    });
    let builder = builder.with_layer(&layers.requests).with_layer(&look);
    Ok(builder.with_layer(&layers.fence).build())
}

async fn configure(arguments: &ClusterArguments) -> Result<Config> {
    let kubeconfig = arguments.kubeconfig.as_deref();
    let mut config = configuration(kubeconfig, arguments.context.as_deref()).await?;
    let agent = format!("{HOST}/{}", env!("CARGO_PKG_VERSION"));
    // kube would try again inside each request, for minutes and unseen, while a worker waits for it.
    config.default_retry = false;
    config
        .headers
        .push((http::header::USER_AGENT, agent.parse()?));
    Ok(config)
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
