//! The servers of a node: kube-scheduler, containerd, kubelet and kube-proxy.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use tokio::net::UnixStream;

use super::environment::NodeEnvironment;
use super::health::is_ok;
use super::images;
use crate::accounts::TestAccount;
use crate::programs::child;
use crate::programs::server::{Launch, Server};
use crate::wait::within;

/// The name of the node. The user name of its kubelet contains it: see `TestAccount::Kubelet`.
const NAME: &str = "node";
/// The image that `sandbox_image` names in tests/node/config/containerd.toml.
const PAUSE: &str = "handler-host.test/pause:1";
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// Starts the four servers and waits until the node is ready.
pub(super) async fn start(
    environment: &NodeEnvironment,
    directory: &Path,
    logs: &Path,
    admin: &Client,
) -> Result<Vec<Server>> {
    let launch = |name, ports| Launch::new(name, &environment.programs, logs, ports);
    let containerd = start_containerd(logs).await?;
    images::import(&environment.programs.join("images/pause"), PAUSE).await?;
    let scheduler = start_scheduler(&launch("kube-scheduler", 1), directory).await?;
    let kubelet = start_kubelet(&launch("kubelet", 1), directory, environment).await?;
    if let Err(last) = within(READY_DEADLINE, async || ready(admin).await).await {
        bail!("the node is not ready after {READY_DEADLINE:?}; last seen: {last}");
    }
    // kube-proxy comes last, because it waits half a minute for a node that is not registered.
    let proxy = start_proxy(&launch("kube-proxy", 2), directory).await?;
    Ok(vec![containerd, scheduler, kubelet, proxy])
}

async fn start_containerd(logs: &Path) -> Result<Server> {
    let program = child::on_path("containerd").context(
        "`containerd` is not on the PATH: a node needs it; run `just e2e`, or tests/node/install",
    )?;
    let launch = Launch::new(
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
    let kubeconfig = TestAccount::Scheduler.kubeconfig(directory);
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
    let kubeconfig = TestAccount::Proxy.kubeconfig(directory);
    let arguments = |ports: &[u16]| {
        Ok(vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NAME}"),
            "--proxy-mode=iptables".to_owned(),
            // The limits of connection tracking belong to the whole machine, so this namespace does not set them.
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

async fn start_kubelet(
    launch: &Launch<'_>,
    directory: &Path,
    environment: &NodeEnvironment,
) -> Result<Server> {
    let kubeconfig = TestAccount::Kubelet.kubeconfig(directory);
    let arguments = |ports: &[u16]| {
        Ok(vec![
            "--config=/run/node/config/kubelet.yaml".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NAME}"),
            format!("--node-ip={}", environment.address),
            "--root-dir=/run/node/kubelet".to_owned(),
            format!("--cgroup-root=/{}", environment.cgroup),
            format!("--healthz-port={}", ports[0]),
        ])
    };
    let is_ready =
        async |ports: &[u16]| is_ok(&format!("http://127.0.0.1:{}", ports[0]), "/healthz").await;
    Ok(launch.start(arguments, is_ready).await?.0)
}

/// Succeeds when Pods can be scheduled.
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
