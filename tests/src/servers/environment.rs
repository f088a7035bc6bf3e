//! Where a node may run.

use std::env;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::paths;

/// The Linux namespaces in which a node runs. `tests/node/run` makes them, and in all of them the paths below
/// /run/node are the same.
pub struct NodeEnvironment {
    /// The address at which Pods and clients reach the node.
    pub address: Ipv4Addr,
    /// The cgroup below which Pods get theirs.
    pub cgroup: String,
    /// The directory of kubelet, kube-scheduler and kube-proxy.
    pub(super) programs: PathBuf,
}

impl NodeEnvironment {
    /// The environment that this process runs in, or an error when it runs in none.
    pub fn here() -> Result<Self> {
        let variable = |name: &str| {
            env::var(name).ok().with_context(|| {
                format!("{name} is not set: a node runs only in namespaces made for it; run `just e2e`, or run a command by tests/node/run")
            })
        };
        let address = variable("NODE_ADDRESS")?;
        Ok(NodeEnvironment {
            address: address
                .parse()
                .with_context(|| format!("NODE_ADDRESS={address} is no IPv4 address"))?,
            cgroup: variable("NODE_CGROUP")?,
            programs: paths::node()?,
        })
    }
}
