//! Who talks to the API server: tokens and kubeconfigs.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::json;

/// A user of the API server with a kubeconfig of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// May do everything.
    Admin,
    /// The user `handler-host`, with the rights of `tests/control-plane/host-role.yaml`.
    Host,
    /// The user `handler-host-2`, with the same rights: another host beside it, told apart in the audit log.
    SecondHost,
    /// The host's service account, with the rights of `host/deploy/base`, once that is [deployed](crate::deployed).
    Deployed,
    /// The user `nobody`, without rights.
    Nobody,
    /// kube-controller-manager; may do everything, and is told apart from the admin in the audit log.
    ControllerManager,
    /// kube-scheduler, where there is a node; with its own rights, like the two after it.
    Scheduler,
    /// kube-proxy.
    Proxy,
    /// The kubelet of the node.
    Kubelet,
}

impl Identity {
    /// Those of every control plane.
    pub(crate) const CONTROL_PLANE: [Identity; 6] = [
        Identity::Admin,
        Identity::Host,
        Identity::SecondHost,
        Identity::Deployed,
        Identity::Nobody,
        Identity::ControllerManager,
    ];
    /// Those of one with a node.
    pub(crate) const WITH_NODE: [Identity; 7] = [
        Identity::Admin,
        Identity::Host,
        Identity::Nobody,
        Identity::ControllerManager,
        Identity::Scheduler,
        Identity::Proxy,
        Identity::Kubelet,
    ];

    /// The user name, as the audit log has it.
    pub fn user(self) -> &'static str {
        match self {
            Identity::Admin => "admin",
            Identity::Host => "handler-host",
            Identity::SecondHost => "handler-host-2",
            Identity::Deployed => "system:serviceaccount:handler-host:handler-host",
            Identity::Nobody => "nobody",
            Identity::ControllerManager => "kube-controller-manager",
            Identity::Scheduler => "system:kube-scheduler",
            Identity::Proxy => "system:kube-proxy",
            Identity::Kubelet => "system:node:node",
        }
    }

    /// The kubeconfig in the directory of a control plane.
    pub fn kubeconfig(self, directory: &Path) -> PathBuf {
        directory.join(match self {
            Identity::Admin => "admin.kubeconfig",
            Identity::Host => "host.kubeconfig",
            Identity::SecondHost => "second-host.kubeconfig",
            Identity::Deployed => "deployed.kubeconfig",
            Identity::Nobody => "nobody.kubeconfig",
            Identity::ControllerManager => "controller-manager.kubeconfig",
            Identity::Scheduler => "scheduler.kubeconfig",
            Identity::Proxy => "proxy.kubeconfig",
            Identity::Kubelet => "kubelet.kubeconfig",
        })
    }

    fn groups(self) -> &'static str {
        match self {
            Identity::Admin | Identity::ControllerManager => "system:masters",
            Identity::Deployed => "system:serviceaccounts,system:serviceaccounts:handler-host",
            Identity::Kubelet => "system:nodes",
            Identity::Host
            | Identity::SecondHost
            | Identity::Nobody
            | Identity::Scheduler
            | Identity::Proxy => "",
        }
    }
}

/// The token of each identity, new with every start.
pub(crate) struct Tokens(Vec<(Identity, String)>);

impl Tokens {
    pub(crate) fn new(identities: &[Identity]) -> Result<Self> {
        let mut random = File::open("/dev/urandom").context("cannot read /dev/urandom")?;
        let mut tokens = Vec::new();
        for &identity in identities {
            let mut bytes = [0; 16];
            random.read_exact(&mut bytes)?;
            let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            tokens.push((identity, token));
        }
        Ok(Tokens(tokens))
    }

    /// Writes kube-apiserver's `--token-auth-file`.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let lines = self.0.iter().map(|(identity, token)| {
            let user = identity.user();
            format!("{token},{user},{user},\"{}\"\n", identity.groups())
        });
        write_private(path, &lines.collect::<String>())
    }

    /// Writes a kubeconfig for each identity. JSON, which is YAML too.
    pub(crate) fn write_kubeconfigs(
        &self,
        directory: &Path,
        server: &str,
        authority: &Path,
    ) -> Result<()> {
        for (identity, token) in &self.0 {
            let user = identity.user();
            let kubeconfig = json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{
                    "name": "control-plane",
                    "cluster": {"server": server, "certificate-authority": authority},
                }],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [{"name": user, "context": {"cluster": "control-plane", "user": user}}],
                "current-context": user,
            });
            write_private(
                &identity.kubeconfig(directory),
                &format!("{kubeconfig:#}\n"),
            )?;
        }
        Ok(())
    }
}

/// A client for the server and user of a kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("cannot read kubeconfig {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    // The server is on loopback: a proxy that the environment names is for the rest of the world.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
