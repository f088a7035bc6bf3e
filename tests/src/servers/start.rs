//! The servers of a control plane, and of the node beside it, started in their order.

use std::collections::BTreeMap;
use std::fs;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::future::select_all;

use super::setup::{Purpose, ReadyControlPlane, Setup};
use super::{control_plane, node};
use crate::accounts::{TestAccount, client};
use crate::objects::manifest;
use crate::programs::server::{Launch, Server};

const HOST_ROLE: &str = include_str!("../../control-plane/host-role.yaml");

/// The running servers, in the order in which they were started.
pub struct Servers(Vec<Server>);

impl Servers {
    /// Starts all servers and waits until they can be used.
    pub async fn start(setup: &Setup) -> Result<(Self, ReadyControlPlane)> {
        let started = Instant::now();
        let directory = &setup.directory;
        let logs = directory.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let launch = |name, ports| Launch::new(name, &setup.assets, &logs, ports);

        let (etcd, etcd_url) = control_plane::start_etcd(&launch("etcd", 2), directory).await?;
        let (api_server, server) = control_plane::start_api_server(
            &launch("kube-apiserver", 1),
            directory,
            &etcd_url,
            &setup.purpose,
        )
        .await?;
        let admin = client(&TestAccount::Admin.kubeconfig(directory)).await?;
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
            Purpose::Node(environment) => {
                running.extend(node::start(environment, directory, &logs, &admin).await?);
            }
        }
        let servers = Servers(running);
        let ready = ReadyControlPlane {
            directory: directory.clone(),
            server,
            admin_kubeconfig: TestAccount::Admin.kubeconfig(directory),
            host_kubeconfig: TestAccount::Host.kubeconfig(directory),
            nobody_kubeconfig: TestAccount::Nobody.kubeconfig(directory),
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

    /// Waits until one of the servers ends by itself, which none should do; says which one and how.
    pub async fn ended(&mut self) -> String {
        let ends = self.0.iter_mut().map(|server| Box::pin(server.ended()));
        pin!(select_all(ends)).await.0
    }

    /// Stops the servers. Each is stopped before the servers that it uses.
    pub async fn stop(self) {
        for server in self.0.into_iter().rev() {
            server.stop().await;
        }
    }
}
