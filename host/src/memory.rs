//! How much memory the host may use, and how much is left of it.

use std::fs;
use std::path::{Path, PathBuf};

/// What is kept for everything that is not counted one by one: objects, requests, and the code of the host.
const RESERVE: u64 = 8 << 20;

/// The memory that this process may use before the kernel ends it: the least limit of its control groups. None if there is
/// no limit.
pub(crate) fn limit() -> Option<u64> {
    limit_below(Path::new("/sys/fs/cgroup"), &own_group()?)
}

/// The memory that is left of the limit, less a reserve; None if there is no limit.
pub(crate) fn left() -> Option<u64> {
    Some(limit()?.saturating_sub(used()? + RESERVE))
}

/// The memory of this process that the kernel cannot take back, in bytes.
fn used() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = |field: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some((kib("RssAnon:")? + kib("RssShmem:")?) << 10)
}

/// The control group of this process, in version 2 of control groups, as a path below the root that it sees.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(group.into())
}

fn limit_below(root: &Path, group: &Path) -> Option<u64> {
    let groups = group.ancestors().map(|group| root.join(group));
    let limits = groups.filter_map(|group| {
        let text = fs::read_to_string(group.join("memory.max")).ok()?;
        text.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let pod = root.path().join("pods/pod");
        fs::create_dir_all(pod.join("container")).unwrap();
        let limit = || limit_below(root.path(), Path::new("pods/pod/container"));
        assert_eq!(limit(), None);
        fs::write(pod.join("container/memory.max"), "max\n").unwrap();
        assert_eq!(limit(), None);
        fs::write(pod.join("memory.max"), "1000\n").unwrap();
        assert_eq!(limit(), Some(1000));
        fs::write(pod.join("container/memory.max"), "500\n").unwrap();
        assert_eq!(limit(), Some(500));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(used().unwrap() > 100 << 10);
    }
}
