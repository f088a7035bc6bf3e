//! A control plane with a real node, so with real Pods.

mod container;

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Result;
use serde_json::Value;

pub use self::container::{Container, Memory};
use crate::control_plane::ControlPlane;
use crate::handler_host::Output;
use crate::kubectl::kubectl;
use crate::servers::Place;
use crate::{images, paths};

/// Where `tests/node/run` looks for logs after a failure.
const DIRECTORY: &str = "/run/node/control-plane";

/// The node of this process, in the namespaces that `tests/node/run` made around it. Everything on it ends with
/// them, and they with this process, however it ends.
pub struct Node {
    control_plane: ControlPlane,
    place: Place,
}

impl Node {
    /// The node of this process, started by whoever asks first. Panics if it cannot be started.
    pub async fn shared() -> &'static Node {
        // A static outlives the runtime of every test; so it must hold nothing of a runtime.
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
            place: Place::here()?,
            control_plane: ControlPlane::start_with(["--node", "--keep", DIRECTORY])?,
        })
    }

    /// Its control plane, which has no CRDs yet: for clients, kubeconfigs, namespaces and the audit log.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Where Pods reach what a test listens on.
    pub fn address(&self) -> Ipv4Addr {
        self.place.address
    }

    /// Gives the node the image of an OCI layout, for Pods that ask for `name` with the pull policy `Never` or
    /// `IfNotPresent`. Panics if that fails.
    pub async fn load_image(&self, layout: &Path, name: &str) {
        if let Err(error) = images::import(layout, name).await {
            panic!("no image {name}: {error:#}");
        }
    }

    /// The layout of an image of our own, such as `probe`: see tests/node/images.
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

    /// A running container of a Pod, given as the API server shows it, by name.
    pub fn container(&self, pod: &Value, name: &str) -> Container {
        Container::find(&self.place.cgroup, pod, name)
            .unwrap_or_else(|error| panic!("no container {name}: {error:#}"))
    }
}
