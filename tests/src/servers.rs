//! The servers of a control plane, and of the node beside it, started in order.

mod control_plane;
mod node;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::future::select_all;
use http::Request;
use kube::{Client, Config};
use serde::{Deserialize, Serialize};

pub use self::node::Place;
use crate::identity::{self, Identity};
use crate::manifest;
use crate::server::{Launch, Server};

const HOST_ROLE: &str = include_str!("../control-plane/host-role.yaml");

/// What to start, and where.
pub struct Setup {
    /// Holds the programs.
    pub assets: PathBuf,
    /// Gets the logs, kubeconfigs, keys and etcd's files. Absolute.
    pub directory: PathBuf,
    /// Files with the CRDs to apply before the garbage collector looks for kinds: it would notice
    /// later ones only after half a minute.
    pub crds: Vec<PathBuf>,
    /// Who uses it.
    pub purpose: Purpose,
}

/// Who uses a control plane.
pub enum Purpose {
    /// Clients on loopback. There are no Pods, and no more controllers than the suites need.
    Clients,
    /// A node with Pods as well.
    Node(Place),
}

/// A control plane that can be used; printed as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// Where everything below lies.
    pub directory: PathBuf,
    /// The API server's URL.
    pub server: String,
    /// The kubeconfig of [`Identity::Admin`].
    pub admin_kubeconfig: PathBuf,
    /// The kubeconfig of [`Identity::Host`].
    pub host_kubeconfig: PathBuf,
    /// The kubeconfig of [`Identity::Nobody`].
    pub nobody_kubeconfig: PathBuf,
    /// kube-apiserver's audit log.
    pub audit_log: PathBuf,
    /// The process ID of `control-plane`: SIGTERM ends it.
    pub pid: u32,
    /// The process ID of each server.
    pub servers: BTreeMap<String, u32>,
    /// How long the start took.
    pub seconds: f64,
}

/// The running servers, in the order they were started in.
pub struct Servers(Vec<Server>);

impl Servers {
    /// Starts all of them and waits until they can be used.
    pub async fn start(setup: &Setup) -> Result<(Self, Ready)> {
        let started = Instant::now();
        let directory = &setup.directory;
        let logs = directory.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let launch = |name, ports| launch(name, &setup.assets, &logs, ports);

        let (etcd, etcd_url) = control_plane::start_etcd(&launch("etcd", 2), directory).await?;
        let (api_server, server) = control_plane::start_api_server(
            &launch("kube-apiserver", 1),
            directory,
            &etcd_url,
            &setup.purpose,
        )
        .await?;
        let admin = identity::client(&Identity::Admin.kubeconfig(directory)).await?;
        manifest::apply(&admin, &manifest::parse(HOST_ROLE)?).await?;
        for crd in &setup.crds {
            manifest::apply_crds(&admin, crd).await?;
        }
        let controller_manager = control_plane::start_controller_manager(
            &launch("kube-controller-manager", 1),
            directory,
            &setup.purpose,
        )
        .await?;

        let mut running = vec![etcd, api_server, controller_manager];
        match &setup.purpose {
            Purpose::Clients => {}
            Purpose::Node(place) => {
                running.extend(node::start(place, directory, &logs, &admin).await?);
            }
        }
        let servers = Servers(running);
        let ready = Ready {
            directory: directory.clone(),
            server,
            admin_kubeconfig: Identity::Admin.kubeconfig(directory),
            host_kubeconfig: Identity::Host.kubeconfig(directory),
            nobody_kubeconfig: Identity::Nobody.kubeconfig(directory),
            audit_log: directory.join("audit.log"),
            pid: std::process::id(),
            servers: servers.pids(),
            seconds: (started.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        };
        Ok((servers, ready))
    }

    fn pids(&self) -> BTreeMap<String, u32> {
        self.0
            .iter()
            .filter_map(|server| Some((server.name().to_owned(), server.pid()?)))
            .collect()
    }

    /// Waits until one of them ends by itself, which none should; says which and how.
    pub async fn ended(&mut self) -> String {
        let ends = self.0.iter_mut().map(|server| Box::pin(server.ended()));
        pin!(select_all(ends)).await.0
    }

    /// Stops them, users before what they use.
    pub async fn stop(self) {
        for server in self.0.into_iter().rev() {
            server.stop().await;
        }
    }
}

fn launch<'a>(name: &'static str, programs: &'a Path, logs: &'a Path, ports: usize) -> Launch<'a> {
    Launch {
        name,
        assets: programs,
        logs,
        ports,
        environment: &[],
    }
}

/// Whether a server of ours, whose certificate nobody knows, answers without error.
async fn is_ok(url: &str, path: &str) -> bool {
    let Ok(url) = url.parse() else { return false };
    let mut config = Config::new(url);
    config.accept_invalid_certs = true;
    match Client::try_from(config) {
        Ok(client) => answers(&client, path).await,
        Err(_) => false,
    }
}

async fn answers(client: &Client, path: &str) -> bool {
    match Request::get(path).body(Vec::new()) {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}
