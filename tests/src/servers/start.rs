//! The servers of a control plane, and of the node beside it, started in their order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use futures::future::select_all;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::health::unverified;
use super::setup::{Purpose, ReadyControlPlane, Setup};
use super::{control_plane, node};
use crate::accounts::{TestAccount, client};
use crate::objects::manifest;
use crate::programs::server::{Launch, Server};

const HOST_ROLE: &str = include_str!("../../control-plane/host-role.yaml");

/// The running servers, in the order in which they were started.
pub struct Servers {
    running: Vec<Server>,
    directory: PathBuf,
    /// The URL of etcd.
    etcd: String,
}

impl Servers {
    /// Carries out a command: `kill NAME`, `stop NAME`, `start NAME`, `save etcd`, `restore etcd` or `compact etcd`. A
    /// server keeps its arguments, and so its ports. What is saved or restored are the files of an etcd that is stopped.
    pub async fn command(&mut self, line: &str) -> Result<()> {
        let (verb, name) = line.split_once(' ').unwrap_or((line, ""));
        let server = self.running.iter_mut().find(|server| server.name() == name);
        let server = server.with_context(|| format!("no server {name:?}"))?;
        let (live, saved) = (
            self.directory.join("etcd"),
            self.directory.join("etcd-saved"),
        );
        match verb {
            "kill" => server.end(Signal::KILL).await,
            "stop" => server.end(Signal::TERM).await,
            "start" => server.begin()?,
            "save" => copy_anew(&live, &saved)?,
            "restore" => copy_anew(&saved, &live)?,
            "compact" => compact(&self.etcd).await?,
            _ => bail!("no command {verb:?}"),
        }
        Ok(())
    }

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
        let servers = Servers {
            running,
            directory: directory.clone(),
            etcd: etcd_url,
        };
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
        self.running
            .iter()
            .filter_map(|server| Some((server.name().to_owned(), server.pid()?)))
            .collect()
    }

    /// Waits until one of the servers ends by itself, which none should do; says which one and how.
    pub async fn ended(&mut self) -> String {
        let ends = self
            .running
            .iter_mut()
            .map(|server| Box::pin(server.ended()));
        pin!(select_all(ends)).await.0
    }

    /// Stops the servers. Each is stopped before the servers that it uses.
    pub async fn stop(self) {
        for server in self.running.into_iter().rev() {
            server.stop().await;
        }
    }
}

/// Has etcd forget everything that is older than its newest revision.
async fn compact(etcd: &str) -> Result<()> {
    let client = unverified(etcd)?;
    let ask = async |path: &str, question: Value| -> Result<Value> {
        let request = http::Request::post(path).body(question.to_string().into_bytes())?;
        Ok(client.request(request).await?)
    };
    // The keys and numbers of etcd's JSON are base64 and text.
    let newest = ask("/v3/kv/range", json!({"key": "AA=="})).await?;
    let revision = &newest["header"]["revision"];
    let question = json!({"revision": revision, "physical": true});
    ask("/v3/kv/compaction", question).await?;
    Ok(())
}

/// Replaces a directory by a copy of another.
fn copy_anew(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
