//! A container as the kernel sees it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A running container of a Pod: its processes, and the memory that the kernel counts for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The ID that containerd gave it. A container that was restarted has another one.
    pub id: String,
    /// How often the kubelet has restarted it.
    pub restarts: u64,
    /// The cgroup in the hierarchy `memory`.
    cgroup: PathBuf,
}

/// The memory of a container in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// How much it may use.
    pub limit: u64,
    /// How much it uses, with the pages of files that it read or wrote. The kernel takes these back when it needs
    /// memory.
    pub usage: u64,
    /// The largest usage so far.
    pub peak: u64,
    /// How much it uses without the pages of files.
    pub resident: u64,
    /// How often the kernel killed one of its processes because the limit was reached.
    pub kills: u64,
}

impl Container {
    pub(super) fn find(node: &str, pod: &Value, name: &str) -> Result<Self> {
        let statuses = pod["status"]["containerStatuses"].as_array();
        let status = statuses
            .into_iter()
            .flatten()
            .find(|status| status["name"] == name)
            .with_context(|| format!("the Pod has no such container: {:#}", pod["status"]))?;
        let id = status["containerID"]
            .as_str()
            .and_then(|id| id.strip_prefix("containerd://"))
            .with_context(|| format!("it has no ID: {status:#}"))?;
        let root = Path::new("/sys/fs/cgroup/memory").join(node);
        Ok(Container {
            id: id.to_owned(),
            restarts: status["restartCount"].as_u64().unwrap_or_default(),
            cgroup: below(&root, id)
                .with_context(|| format!("{id} has no cgroup below {}", root.display()))?,
        })
    }

    /// Whether its cgroup still exists.
    pub fn is_running(&self) -> bool {
        self.cgroup.is_dir()
    }

    /// The ID of its first process in the process namespace of the tests.
    pub fn pid(&self) -> u32 {
        let text = self.read("cgroup.procs");
        let pids = text.lines().filter_map(|line| line.parse().ok());
        pids.min()
            .unwrap_or_else(|| panic!("{self:?} has no process"))
    }

    /// Its present memory.
    pub fn memory(&self) -> Memory {
        let bytes = |file: &str| number(self.read(file).trim(), file);
        let field = |file: &str, name: &str| {
            let text = self.read(file);
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            number(value.unwrap_or_default(), name)
        };
        Memory {
            limit: bytes("memory.limit_in_bytes"),
            usage: bytes("memory.usage_in_bytes"),
            peak: bytes("memory.max_usage_in_bytes"),
            resident: field("memory.stat", "total_rss"),
            kills: field("memory.oom_control", "oom_kill"),
        }
    }

    fn read(&self, file: &str) -> String {
        let path = self.cgroup.join(file);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }
}

fn number(text: &str, what: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|error| panic!("{what} is `{text}`: {error}"))
}

/// The directory of this name at any depth below a directory.
fn below(directory: &Path, name: &str) -> Option<PathBuf> {
    let here = directory.join(name);
    if here.is_dir() {
        return Some(here);
    }
    fs::read_dir(directory)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .find_map(|path| below(&path, name))
}
