use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use handler_host_cluster::{Fence, RequestLayer};
use handler_host_core::{Account, HOST};
use http::{Response, StatusCode, Uri};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::Notify;
use tower::BoxError;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::util::{MapErrLayer, MapResponseLayer};

use crate::arguments::ClusterArguments;
use crate::proxy::{ThroughProxy, proxies};

/// How many requests of these clients may wait for an answer at a time. Each has a connection. Without a limit a host of
/// thousands of Handlers opens as many at once, more than the API server answers or the system allows.
const REQUESTS: usize = 128;

/// The layers that each request of a client passes.
pub(crate) struct ClientLayers {
    /// While the fence is closed, the client writes nothing.
    fence: Fence,
    /// Records the requests in the metrics, and gives each a heartbeat.
    requests: RequestLayer,
    /// Lets a request wait until fewer are under way. A watch is under way until it begins.
    limit: GlobalConcurrencyLimitLayer,
}

impl ClientLayers {
    pub(crate) fn new(fence: Fence, requests: RequestLayer) -> Self {
        Self {
            fence,
            requests,
            limit: GlobalConcurrencyLimitLayer::new(REQUESTS),
        }
    }

    /// The layers of a command that writes nothing: its fence never opens.
    pub(crate) fn reading() -> Self {
        Self::new(Fence::closed(), RequestLayer::default())
    }
}

/// Clients for one cluster, which act as the host's own account or as the accounts of handlers.
pub(crate) struct Clients {
    config: Config,
    layers: ClientLayers,
    own: Client,
}

/// A client of one handler.
pub(crate) struct HandlerClient {
    pub(crate) client: Client,
    /// The user name of the handler's account; None for the host's own.
    pub(crate) account: Option<String>,
    /// Notified of each request that the API server answered with 403, since a right is missing.
    pub(crate) refused: Arc<Notify>,
}

impl Clients {
    pub(crate) async fn connect(
        arguments: &ClusterArguments,
        layers: ClientLayers,
    ) -> Result<Self> {
        let config = configure(arguments).await?;
        let own = build(config.clone(), &layers, None)?;
        Ok(Self {
            config,
            layers,
            own,
        })
    }

    /// The client that acts as the host's own account. All callers share it.
    pub(crate) fn own(&self) -> Client {
        self.own.clone()
    }

    /// Makes a client that acts as an account, or without one as the host's own. Keep the client, since each
    /// has connections of its own.
    pub(crate) fn of_handler(&self, account: Option<&Account>) -> Result<HandlerClient> {
        let mut config = self.config.clone();
        let account = account.map(Account::user);
        if let Some(user) = &account {
            // The groups are not set: the API server derives them from the account.
            config.auth_info.impersonate = Some(user.clone());
        }
        let refused = Arc::new(Notify::new());
        let client = build(config, &self.layers, Some(refused.clone()))?;
        Ok(HandlerClient {
            client,
            account,
            refused,
        })
    }
}

/// Makes a client for the cluster that the arguments name. It sends no request yet, so a cluster that cannot be
/// reached is noticed at the first one.
pub(crate) async fn connect(arguments: &ClusterArguments, layers: &ClientLayers) -> Result<Client> {
    build(configure(arguments).await?, layers, None)
}

/// Makes a client. All clients are made here, so that none lacks a layer.
fn build(config: Config, layers: &ClientLayers, refused: Option<Arc<Notify>>) -> Result<Client> {
    let proxy = config.proxy_url.clone();
    let builder = ClientBuilder::try_from(config).map_err(|error| {
        anyhow!(
            "the cluster configuration is invalid: {}",
            handler_host_cluster::connection_problem(&error)
        )
    })?;
    let notify = MapResponseLayer::new(move |response: Response<_>| {
        if let Some(refused) = &refused
            && response.status() == StatusCode::FORBIDDEN
        {
            refused.notify_one();
        }
        response
    });
    let name_proxy = MapErrLayer::new(move |error: BoxError| match &proxy {
        Some(proxy) => ThroughProxy::new(&*error, proxy).into(),
        None => error,
    });
    let builder = builder.with_layer(&name_proxy);
    let builder = builder.with_layer(&layers.requests).with_layer(&notify);
    // A request that waits has not begun, and must not be taken for one that the API server does not answer.
    let builder = builder.with_layer(&layers.limit);
    Ok(builder.with_layer(&layers.fence).build())
}

async fn configure(arguments: &ClusterArguments) -> Result<Config> {
    let kubeconfig = arguments.kubeconfig.as_deref();
    let context = arguments.context.as_deref();
    let mut config = configuration(kubeconfig, context).await?;
    config.proxy_url = match proxy_in(kubeconfig, context) {
        // Exceptions are for the proxies of the environment. This one is for this cluster alone.
        Some(proxy) => Some(proxy),
        None => proxy_of(&config.cluster_url),
    };
    let agent = format!("{HOST}/{}", env!("CARGO_PKG_VERSION"));
    // kube would repeat each failed request by itself, for minutes and without a log line, while a worker waits.
    config.default_retry = false;
    config
        .headers
        .push((http::header::USER_AGENT, agent.parse()?));
    Ok(config)
}

/// The proxy that a kubeconfig names for its cluster.
fn proxy_in(kubeconfig: Option<&Path>, context: Option<&str>) -> Option<Uri> {
    let file = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let file = file.ok()?;
    let context = context.map(str::to_owned).or(file.current_context)?;
    let mut contexts = file.contexts.into_iter();
    let context = contexts.find(|it| it.name == context)?.context?;
    let mut clusters = file.clusters.into_iter();
    let cluster = clusters.find(|it| it.name == context.cluster)?.cluster?;
    cluster.proxy_url.filter(|it| !it.is_empty())?.parse().ok()
}

/// The proxy that the environment names for a server.
fn proxy_of(server: &Uri) -> Option<Uri> {
    let is_tls = server.scheme_str() == Some("https");
    let port = server.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let proxies = proxies();
    let proxy = proxies.proxy_for(is_tls, server.host()?, port);
    proxy.and_then(|proxy| proxy.parse().ok())
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

/// The innermost cause of an error, in one line.
fn innermost(error: &dyn std::error::Error) -> String {
    // The further lines of a YAML error quote the text around the mistake.
    let text = handler_host_cluster::innermost_cause(error);
    let line = text.lines().next().unwrap_or_default();
    line.replace(": error: ", ": ")
}
