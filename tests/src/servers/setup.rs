//! What is started as a control plane, and how its clients find it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::environment::NodeEnvironment;

/// What is started as a control plane.
pub struct Setup {
    /// The directory that holds the programs.
    pub assets: PathBuf,
    /// The directory that gets the logs, the kubeconfigs, the keys and the files of etcd; an absolute path.
    pub directory: PathBuf,
    /// Files of CRDs. They are applied before the garbage collector looks for the kinds of the cluster,
    /// because it would find later ones only after half a minute.
    pub crds: Vec<PathBuf>,
    /// Who uses the control plane.
    pub purpose: Purpose,
}

/// Who uses a control plane.
pub enum Purpose {
    /// Clients on loopback addresses. There are no Pods, and only those controllers that the suites need.
    Clients,
    /// A node with Pods, besides such clients.
    Node(NodeEnvironment),
}

/// A control plane that is ready. The program `control-plane` prints it as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyControlPlane {
    /// The directory of everything below.
    pub directory: PathBuf,
    /// The URL of the API server.
    pub server: String,
    /// The kubeconfig of [`Admin`](crate::accounts::TestAccount::Admin).
    pub admin_kubeconfig: PathBuf,
    /// The kubeconfig of [`Host`](crate::accounts::TestAccount::Host).
    pub host_kubeconfig: PathBuf,
    /// The kubeconfig of [`Nobody`](crate::accounts::TestAccount::Nobody).
    pub nobody_kubeconfig: PathBuf,
    /// The path of the audit log.
    pub audit_log: PathBuf,
    /// The process ID of `control-plane`: SIGTERM ends it.
    pub pid: u32,
    /// The process ID of each server.
    pub servers: BTreeMap<String, u32>,
    /// How long the start took, in seconds.
    pub seconds: f64,
}
