//! A control plane with a real node, and so with real Pods.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Result;
use serde_json::Value;

use super::container::Container;
use crate::control_plane::{ControlPlane, kubectl};
use crate::paths;
use crate::programs::handler_host::Output;
use crate::servers::{NodeEnvironment, images};

/// The directory in which `tests/node/run` looks for logs after a failure.
const DIRECTORY: &str = "/run/node/control-plane";

/// The node of this process, in the Linux namespaces that `tests/node/run` made around the process. All processes of
/// the node end with these namespaces, and the namespaces end with this process, in whatever way it ends.
pub struct Node {
    control_plane: ControlPlane,
    environment: NodeEnvironment,
}

impl Node {
    /// The node of this process; the first call starts it. Panics if it cannot be started.
    pub async fn shared() -> &'static Node {
        // A static outlives the runtime of every test, so it must not hold anything that belongs to a runtime.
        static SHARED: OnceLock<Result<Node, String>> = OnceLock::new();
        let started = tokio::task::spawn_blocking(|| {
            SHARED.get_or_init(|| Node::start().map_err(|error| format!("{error:#}")))
        });
        match started.await {
            Ok(Ok(node)) => node,
            Ok(Err(error)) => panic!("no node: {error}"),
            Err(error) => panic!("no node: {error}"),
        }
    }

    fn start() -> Result<Self> {
        Ok(Node {
            environment: NodeEnvironment::here()?,
            control_plane: ControlPlane::start_with(["--node", "--keep", DIRECTORY])?,
        })
    }

    /// Its control plane, which has no CRDs at the start.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// The address at which Pods reach a server of a test.
    pub fn address(&self) -> Ipv4Addr {
        self.environment.address
    }

    /// Gives the node the image of an OCI layout, for Pods that ask for `name` with the pull policy `Never` or
    /// `IfNotPresent`. Panics if that fails.
    pub async fn load_image(&self, layout: &Path, name: &str) {
        if let Err(error) = images::import(layout, name).await {
            panic!("no image {name}: {error:#}");
        }
    }

    /// The OCI layout of an image of this project, such as `probe`: see tests/node/images.
    pub fn own_image(&self, name: &str) -> PathBuf {
        match paths::node() {
            Ok(directory) => directory.join("images").join(name),
            Err(error) => panic!("no image {name}: {error:#}"),
        }
    }

    /// Runs `kubectl` as the administrator.
    pub async fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        kubectl(&self.control_plane, arguments, "").await
    }

    /// A running container of a Pod, by name. The Pod is the object as the API server shows it.
    pub fn container(&self, pod: &Value, name: &str) -> Container {
        Container::find(&self.environment.cgroup, pod, name)
            .unwrap_or_else(|error| panic!("no container {name}: {error:#}"))
    }
}
