//! etcd, kube-apiserver and kube-controller-manager, started in order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use http::Request;
use kube::{Client, Config};
use serde::{Deserialize, Serialize};

use crate::identity::{self, Identity, Tokens};
use crate::manifest;
use crate::server::{Launch, Server};

const AUDIT_POLICY: &str = include_str!("../control-plane/audit-policy.yaml");
const HOST_ROLE: &str = include_str!("../control-plane/host-role.yaml");
const DEPLOYED_ROLE: &str = include_str!("../control-plane/deployed-role.yaml");
const CONTROLLERS: &str =
    "namespace-controller,garbage-collector-controller,persistentvolumeclaim-protection-controller";

/// What to start, and where.
pub struct Setup {
    /// Holds the programs.
    pub assets: PathBuf,
    /// Gets the logs, kubeconfigs, keys and etcd's files. Absolute.
    pub directory: PathBuf,
    /// Files with the CRDs to apply before the garbage collector looks for kinds: it would notice
    /// later ones only after half a minute.
    pub crds: Vec<PathBuf>,
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

/// The three running servers.
pub struct Servers {
    etcd: Server,
    api_server: Server,
    controller_manager: Server,
}

impl Servers {
    /// Starts all three and waits until they can be used.
    pub async fn start(setup: &Setup) -> Result<(Self, Ready)> {
        let started = Instant::now();
        let directory = &setup.directory;
        let logs = directory.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let launch = |name, ports| Launch {
            name,
            assets: &setup.assets,
            logs: &logs,
            ports,
            environment: &[],
        };

        let (etcd, etcd_url) = start_etcd(&launch("etcd", 2), directory).await?;
        let (api_server, server) =
            start_api_server(&launch("kube-apiserver", 1), directory, &etcd_url).await?;
        let admin = identity::client(&Identity::Admin.kubeconfig(directory)).await?;
        for role in [HOST_ROLE, DEPLOYED_ROLE] {
            manifest::apply(&admin, &manifest::parse(role)?).await?;
        }
        for crd in &setup.crds {
            manifest::apply_crds(&admin, crd).await?;
        }
        let controller_manager =
            start_controller_manager(&launch("kube-controller-manager", 1), directory).await?;

        let servers = Servers {
            etcd,
            api_server,
            controller_manager,
        };
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
        [&self.etcd, &self.api_server, &self.controller_manager]
            .into_iter()
            .filter_map(|server| Some((server.name().to_owned(), server.pid()?)))
            .collect()
    }

    /// Waits until one of them ends by itself, which none should; says which and how.
    pub async fn ended(&mut self) -> String {
        tokio::select! {
            how = self.etcd.ended() => how,
            how = self.api_server.ended() => how,
            how = self.controller_manager.ended() => how,
        }
    }

    /// Stops them, users before what they use.
    pub async fn stop(self) {
        self.controller_manager.stop().await;
        self.api_server.stop().await;
        self.etcd.stop().await;
    }
}

async fn start_etcd(launch: &Launch<'_>, directory: &Path) -> Result<(Server, String)> {
    let arguments = |ports: &[u16]| {
        let [client, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
        Ok(vec![
            format!("--data-dir={}", directory.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ])
    };
    let url = |ports: &[u16]| format!("http://127.0.0.1:{}", ports[0]);
    let (server, ports) = launch
        .start(arguments, async |ports| is_ok(&url(ports), "/health").await)
        .await?;
    Ok((server, url(&ports)))
}

async fn start_api_server(
    launch: &Launch<'_>,
    directory: &Path,
    etcd: &str,
) -> Result<(Server, String)> {
    let tokens = Tokens::new()?;
    let token_file = directory.join("tokens.csv");
    tokens.write(&token_file)?;
    let policy = directory.join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY)
        .with_context(|| format!("cannot write {}", policy.display()))?;

    let url = |ports: &[u16]| format!("https://127.0.0.1:{}", ports[0]);
    let certificate = directory.join("certificates/apiserver.crt");
    let arguments = |ports: &[u16]| {
        tokens.write_kubeconfigs(directory, &url(ports), &certificate)?;
        Ok(api_server_arguments(
            directory,
            etcd,
            ports[0],
            &token_file,
            &policy,
        ))
    };
    let is_ready = async |_: &[u16]| {
        // The certificate is made at the first start, so there is none to trust in the first moments.
        match identity::client(&Identity::Admin.kubeconfig(directory)).await {
            Ok(client) => answers(&client, "/readyz").await,
            Err(_) => false,
        }
    };
    let (server, ports) = launch.start(arguments, is_ready).await?;
    Ok((server, url(&ports)))
}

fn api_server_arguments(
    directory: &Path,
    etcd: &str,
    port: u16,
    tokens: &Path,
    policy: &Path,
) -> Vec<String> {
    // kube-apiserver makes itself a certificate and an RSA key here before it reads the service-account
    // key, so the same key serves for both.
    let certificates = directory.join("certificates");
    let key = certificates.join("apiserver.key");
    vec![
        format!("--etcd-servers={etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // Else it looks for a default route, which a machine without network has not.
        "--advertise-address=127.0.0.1".to_owned(),
        // Loopback is refused as an endpoint of the service `kubernetes`, which nobody here uses.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", certificates.display()),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--token-auth-file={}", tokens.display()),
        // No controller makes service accounts here.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        // As some clusters have it, where owner references ask for a right of their own.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", key.display()),
        format!("--service-account-signing-key-file={}", key.display()),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", directory.join("audit.log").display()),
        // Never rotated: marks are offsets.
        "--audit-log-maxsize=10000".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

async fn start_controller_manager(launch: &Launch<'_>, directory: &Path) -> Result<Server> {
    let arguments = |ports: &[u16]| {
        let kubeconfig = Identity::ControllerManager.kubeconfig(directory);
        Ok(vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--controllers={CONTROLLERS}"),
            "--leader-elect=false".to_owned(),
            // The default of 20 a second is too few for namespaces that come and go with each test.
            "--kube-api-qps=300".to_owned(),
            "--kube-api-burst=600".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", ports[0]),
            "--profiling=false".to_owned(),
        ])
    };
    let is_ready =
        async |ports: &[u16]| is_ok(&format!("https://127.0.0.1:{}", ports[0]), "/healthz").await;
    let (server, _) = launch.start(arguments, is_ready).await?;
    Ok(server)
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
