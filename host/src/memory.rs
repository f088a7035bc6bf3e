//! How much memory the host may use, and how much is left of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use handler_host_cluster::{AnswerMemory, ObjectMemory};
use handler_host_engine::MemoryBudget;

/// What is kept for everything that is not counted one by one: requests, and the code of the host.
const RESERVE: u64 = 8 << 20;
/// From here on a limit is none.
const NO_LIMIT: u64 = 1 << 60;

/// The variable by which glibc is told how many arenas its allocator may have.
#[cfg(target_env = "gnu")]
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Starts the program anew with one arena. By default glibc has eight for each processor, and keeps in each what was freed:
/// after large answers a host would keep the memory of all of them. It reads the variable only when a program starts.
#[cfg(target_env = "gnu")]
pub(crate) fn keep_little() {
    if std::env::var_os(ARENAS).is_none() {
        // Where that fails, the host needs more memory.
        crate::anew::begin_anew(ARENAS, "1");
    }
}

/// Only glibc needs it.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn keep_little() {}

/// The memory that this process may use before the kernel ends it: the least limit of its control groups. None if there is
/// no limit.
pub(crate) fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(Path::new("/sys/fs/cgroup"), &groups)
}

/// The memory for the calls of handlers and for objects, as this process begins: what is left, less what is kept for answers.
/// None if there is no limit.
fn for_calls_and_objects() -> Option<usize> {
    let left = left()?;
    let kept = limit()? / 8;
    usize::try_from(left.saturating_sub(kept)).ok()
}

/// The memory that is left of the limit, less a reserve; None if there is no limit.
pub(crate) fn left() -> Option<u64> {
    Some(limit()?.saturating_sub(used()? + RESERVE))
}

/// The memory for calls, and that for objects, which takes of the same: up to half of it. Handlers that have more have no
/// more made.
pub(crate) fn budgets() -> (Option<MemoryBudget>, ObjectMemory) {
    let total = for_calls_and_objects();
    let held = Arc::<AtomicUsize>::default();
    let objects = ObjectMemory::new(total.map(|total| total / 2), held.clone());
    (total.map(|total| MemoryBudget { total, held }), objects)
}

/// The memory for answers under way.
pub(crate) fn for_answers() -> AnswerMemory {
    let limit = limit().and_then(|limit| usize::try_from(limit).ok());
    AnswerMemory::new(limit.map(|limit| limit / 8))
}

/// The most memory for answers that are remembered.
pub(crate) fn for_remembered_answers() -> u64 {
    limit().map_or(u64::MAX, |limit| limit / 16)
}

/// The memory of this process in bytes. The pages of its program count too: the kernel can take them back, but then the host
/// reads them anew all the time.
fn used() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The least limit of the control groups that `/proc/self/cgroup` names. In version 2, one hierarchy has all controllers; in
/// version 1, `memory` has a hierarchy of its own. A container sees its own group as the root, so groups that do not exist
/// are passed over.
fn limit_of(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let group = Path::new(group.trim_start_matches('/'));
        match controllers {
            "" => limit_below(root, group, "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => {
                limit_below(&root.join("memory"), group, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    limits.min()
}

fn limit_below(root: &Path, group: &Path, file: &str) -> Option<u64> {
    let groups = group.ancestors().map(|group| root.join(group));
    let limits = groups.filter_map(|group| {
        let text = fs::read_to_string(group.join(file)).ok()?;
        // Version 2 writes `max` where there is no limit, and version 1 the largest number of pages.
        text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::version_2("0::/pods/pod/container", "pods/pod", "memory.max")]
    #[case::version_2_in_a_container("0::/", "", "memory.max")]
    #[case::version_2_without_a_namespace("0::/kubepods/other", "", "memory.max")]
    #[case::version_1(
        "4:cpu,cpuacct:/a\n3:memory:/pods/pod/container\n0::/",
        "memory/pods/pod",
        "memory.limit_in_bytes"
    )]
    fn the_limit_is_that_of_the_group_or_of_one_above(
        #[case] groups: &str,
        #[case] group: &str,
        #[case] file: &str,
    ) {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join(group);
        fs::create_dir_all(group.join("container")).unwrap();
        let limit = || limit_of(root.path(), groups);
        assert_eq!(limit(), None);
        fs::write(group.join(file), "max\n").unwrap();
        assert_eq!(limit(), None);
        fs::write(group.join(file), "9223372036854771712\n").unwrap();
        assert_eq!(limit(), None);
        fs::write(group.join(file), "1000\n").unwrap();
        assert_eq!(limit(), Some(1000));
    }

    #[test]
    fn the_least_limit_counts() {
        let root = tempfile::tempdir().unwrap();
        let pod = root.path().join("pod");
        fs::create_dir_all(pod.join("container")).unwrap();
        fs::write(pod.join("memory.max"), "1000\n").unwrap();
        fs::write(pod.join("container/memory.max"), "500\n").unwrap();
        assert_eq!(limit_of(root.path(), "0::/pod/container"), Some(500));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(used().unwrap() > 100 << 10);
    }
}
