//! What makes a machine a node: kube-scheduler, containerd, kubelet and kube-proxy.

use std::env;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use tokio::net::UnixStream;

use super::{is_ok, launch};
use crate::identity::Identity;
use crate::server::{Launch, Server};
use crate::wait::within;
use crate::{child, images, paths};

/// The node's name. Its kubelet is known by it: see `Identity::Kubelet`.
const NAME: &str = "node";
/// What `sandbox_image` in tests/node/config/containerd.toml says.
const PAUSE: &str = "handler-host.test/pause:1";
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// The namespaces that `tests/node/run` made for a node: the paths below /run/node are the same in all.
pub struct Place {
    /// Where Pods and clients reach the node.
    pub address: Ipv4Addr,
    /// Below which Pods get their cgroups.
    pub cgroup: String,
    /// Holds kubelet, kube-scheduler and kube-proxy.
    programs: PathBuf,
}

impl Place {
    /// The one that this process runs in.
    pub fn here() -> Result<Self> {
        let variable = |name: &str| {
            env::var(name).ok().with_context(|| {
                format!("{name} is not set: a node runs only in namespaces made for it; run `just e2e`, or a command of yours by tests/node/run")
            })
        };
        let address = variable("NODE_ADDRESS")?;
        Ok(Place {
            address: address
                .parse()
                .with_context(|| format!("NODE_ADDRESS={address} is no IPv4 address"))?,
            cgroup: variable("NODE_CGROUP")?,
            programs: paths::node()?,
        })
    }
}

/// Starts all four and waits until the node is ready.
pub(super) async fn start(
    place: &Place,
    directory: &Path,
    logs: &Path,
    admin: &Client,
) -> Result<Vec<Server>> {
    let launch = |name, ports| launch(name, &place.programs, logs, ports);
    let containerd = start_containerd(logs).await?;
    images::import(&place.programs.join("images/pause"), PAUSE).await?;
    let scheduler = start_scheduler(&launch("kube-scheduler", 1), directory).await?;
    let kubelet = start_kubelet(&launch("kubelet", 1), directory, place).await?;
    if let Err(last) = within(READY_DEADLINE, async || ready(admin).await).await {
        bail!("the node is not ready after {READY_DEADLINE:?}; last seen: {last}");
    }
    // Last, since it waits half a minute for a node that is not registered.
    let proxy = start_proxy(&launch("kube-proxy", 2), directory).await?;
    Ok(vec![containerd, scheduler, kubelet, proxy])
}

async fn start_containerd(logs: &Path) -> Result<Server> {
    let program = child::on_path("containerd").context(
        "`containerd` is not on the PATH: a node needs it; run `just e2e`, or tests/node/install",
    )?;
    let launch = launch(
        "containerd",
        program.parent().unwrap_or(Path::new("/")),
        logs,
        0,
    );
    let arguments = |_: &[u16]| Ok(vec!["--config=/run/node/config/containerd.toml".to_owned()]);
    let is_ready = async |_: &[u16]| UnixStream::connect(images::CONTAINERD).await.is_ok();
    Ok(launch.start(arguments, is_ready).await?.0)
}

async fn start_scheduler(launch: &Launch<'_>, directory: &Path) -> Result<Server> {
    let kubeconfig = Identity::Scheduler.kubeconfig(directory);
    let arguments = |ports: &[u16]| {
        Ok(vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", ports[0]),
        ])
    };
    let is_ready =
        async |ports: &[u16]| is_ok(&format!("https://127.0.0.1:{}", ports[0]), "/healthz").await;
    Ok(launch.start(arguments, is_ready).await?.0)
}

async fn start_proxy(launch: &Launch<'_>, directory: &Path) -> Result<Server> {
    let kubeconfig = Identity::Proxy.kubeconfig(directory);
    let arguments = |ports: &[u16]| {
        Ok(vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NAME}"),
            "--proxy-mode=iptables".to_owned(),
            // Limits of connection tracking are the machine's, and not this namespace's to set.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-min=0".to_owned(),
            "--conntrack-tcp-timeout-established=0".to_owned(),
            "--conntrack-tcp-timeout-close-wait=0".to_owned(),
            format!("--metrics-bind-address=127.0.0.1:{}", ports[0]),
            format!("--healthz-bind-address=127.0.0.1:{}", ports[1]),
        ])
    };
    let is_ready =
        async |ports: &[u16]| is_ok(&format!("http://127.0.0.1:{}", ports[1]), "/healthz").await;
    Ok(launch.start(arguments, is_ready).await?.0)
}

async fn start_kubelet(launch: &Launch<'_>, directory: &Path, place: &Place) -> Result<Server> {
    let kubeconfig = Identity::Kubelet.kubeconfig(directory);
    let arguments = |ports: &[u16]| {
        Ok(vec![
            "--config=/run/node/config/kubelet.yaml".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NAME}"),
            format!("--node-ip={}", place.address),
            "--root-dir=/run/node/kubelet".to_owned(),
            format!("--cgroup-root=/{}", place.cgroup),
            format!("--healthz-port={}", ports[0]),
        ])
    };
    let is_ready =
        async |ports: &[u16]| is_ok(&format!("http://127.0.0.1:{}", ports[0]), "/healthz").await;
    Ok(launch.start(arguments, is_ready).await?.0)
}

/// Whether Pods can be scheduled.
async fn ready(admin: &Client) -> Result<()> {
    let node = Api::<Node>::all(admin.clone()).get(NAME).await?;
    let conditions = node.status.and_then(|status| status.conditions);
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready")
        .context("it has no condition Ready")?;
    if ready.status != "True" {
        bail!(ready.message.unwrap_or(ready.status));
    }
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    match taints.first() {
        Some(taint) => bail!("taint {}", taint.key),
        None => Ok(()),
    }
}
