//! A control group with a limit of memory, as the one of a Pod.

use std::fs;
use std::path::{Path, PathBuf};

/// A control group that this process may put processes into. It is removed when this is dropped, once it is empty.
pub struct MemoryGroup {
    path: PathBuf,
    /// The group in which this process was.
    before: PathBuf,
    limit_file: &'static str,
}

impl MemoryGroup {
    /// A group with a limit in bytes; None where this process may make none.
    pub fn new(name: &str, limit: u64) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = |controller: &str| {
            groups.lines().find_map(|line| {
                let group = line.split_once(':')?.1.strip_prefix(controller)?;
                Some(group.trim_start_matches([':', '/']).to_owned())
            })
        };
        let version_1 = root.join("memory");
        let (root, own, limit_file) = if version_1.exists() {
            (version_1, own("memory")?, "memory.limit_in_bytes")
        } else {
            (root.to_owned(), own("")?, "memory.max")
        };
        let group = Self {
            path: root.join(name),
            before: root.join(own),
            limit_file,
        };
        fs::create_dir_all(&group.path).ok()?;
        fs::write(group.path.join(group.limit_file), limit.to_string()).ok()?;
        Some(group)
    }

    /// Does something in the group. The processes that it starts stay there.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        enter(&self.path);
        let done = work();
        enter(&self.before);
        done
    }
}

fn enter(group: &Path) {
    let written = fs::write(group.join("cgroup.procs"), std::process::id().to_string());
    written.unwrap_or_else(|error| panic!("cannot enter {}: {error}", group.display()));
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // It may still hold a process that is ending.
        let _ = fs::remove_dir(&self.path);
    }
}
