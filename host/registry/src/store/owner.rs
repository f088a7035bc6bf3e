//! Checks which users may write to a state directory. They can decide which module runs.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid, getgroups};

use super::directory::unusable;
use super::error::StoreError;

/// The directory that is made in a directory which everyone may write to.
const OWN: &str = "handler-host";

const ROOT: u32 = 0;

/// The user and the groups that this process acts as.
struct ProcessIdentity {
    user: u32,
    groups: Vec<u32>,
}

/// Which users may write to a directory.
#[derive(Debug, PartialEq, Eq)]
enum OwnerCheck {
    /// Only this process's user, root and this process's groups may write to it.
    Safe,
    /// Everyone may write to it because root made it so, as kubelet makes an emptyDir.
    OpenByRoot,
    /// Other users may write to it.
    Unsafe { problem: String, remedy: String },
}

/// Makes a directory if there is none. Returns it, or the directory in it that is to be used instead.
pub(super) fn settle(directory: &Path) -> Result<PathBuf, StoreError> {
    make(directory, directory)?;
    let found = fs::metadata(directory);
    let found = found.map_err(|cause| unusable(directory, directory, "read", &cause))?;
    match ProcessIdentity::this_process().judge(&found) {
        OwnerCheck::OpenByRoot => own(directory),
        OwnerCheck::Safe => Ok(directory.to_owned()),
        OwnerCheck::Unsafe { problem, remedy } => Err(StoreError::Unsafe {
            directory: directory.to_owned(),
            problem,
            remedy,
        }),
    }
}

/// Makes a directory in one that everyone may write to.
fn own(directory: &Path) -> Result<PathBuf, StoreError> {
    let own = directory.join(OWN);
    settle_in(directory, &own)?;
    Ok(own)
}

/// Makes a directory within the state directory if there is none. If there is something of its name, another user
/// may have put it there before the state directory was safe, so a link is refused.
pub(super) fn settle_in(directory: &Path, below: &Path) -> Result<(), StoreError> {
    make(directory, below)?;
    let unreadable = |cause| unusable(directory, below, "read", &cause);
    let found = fs::symlink_metadata(below).map_err(unreadable)?;
    if !found.is_dir() {
        return Err(unreadable(io::ErrorKind::NotADirectory.into()));
    }
    let (problem, remedy) = match ProcessIdentity::this_process().judge(&found) {
        OwnerCheck::Safe => return Ok(()),
        OwnerCheck::OpenByRoot => open_to_all(found.mode()),
        OwnerCheck::Unsafe { problem, remedy } => (problem, remedy),
    };
    Err(StoreError::Unsafe {
        directory: below.to_owned(),
        problem,
        remedy,
    })
}

/// Refuses a file that others than this host can have written. The file's directory is checked when the
/// store is opened, but another user may have put the file there before.
pub(super) fn check_file(found: &Metadata) -> Result<(), String> {
    ProcessIdentity::this_process().check_file(found.uid(), found.gid(), found.mode())
}

/// As [`check_file`], for what is executed: no group may write to it either, not even one of this process.
pub(super) fn check_executed(found: &Metadata) -> Result<(), String> {
    check_file(found)?;
    let (group, mode) = (found.gid(), found.mode() & 0o7777);
    match mode & 0o020 {
        0 => Ok(()),
        _ => Err(format!("group {group} may write to it (mode {mode:04o})")),
    }
}

fn make(directory: &Path, below: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(below);
    made.map_err(|cause| unusable(directory, below, "made", &cause))
}

impl ProcessIdentity {
    fn this_process() -> Self {
        let groups = getgroups().unwrap_or_default();
        let groups = groups.into_iter().chain([getegid()]);
        Self {
            user: geteuid().as_raw(),
            groups: groups.map(|group| group.as_raw()).collect(),
        }
    }

    fn check_file(&self, owner: u32, group: u32, mode: u32) -> Result<(), String> {
        match self.judge_mode(owner, group, mode) {
            OwnerCheck::Safe => Ok(()),
            OwnerCheck::OpenByRoot => Err(open_to_all(mode).0),
            OwnerCheck::Unsafe { problem, .. } => Err(problem),
        }
    }

    fn judge(&self, found: &Metadata) -> OwnerCheck {
        self.judge_mode(found.uid(), found.gid(), found.mode())
    }

    fn judge_mode(&self, owner: u32, group: u32, mode: u32) -> OwnerCheck {
        let user = self.user;
        let (problem, remedy) = if ![user, ROOT].contains(&owner) {
            let problem = format!("it is owned by user {owner}, and this host is user {user}");
            (problem, format!("let user {user} own it"))
        } else if owner == ROOT && mode & 0o777 == 0o777 {
            return OwnerCheck::OpenByRoot;
        } else if mode & 0o002 != 0 {
            open_to_all(mode)
        } else if mode & 0o020 != 0 && !self.groups.contains(&group) {
            let mode = mode & 0o7777;
            let problem = format!(
                "group {group} may write to it (mode {mode:04o}), and this host is not of that group"
            );
            (problem, "take that right from the group".to_owned())
        } else {
            return OwnerCheck::Safe;
        };
        OwnerCheck::Unsafe { problem, remedy }
    }
}

fn open_to_all(mode: u32) -> (String, String) {
    let mode = mode & 0o7777;
    let problem = format!("everybody may write to it (mode {mode:04o})");
    (problem, "take that right from others".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    const US: u32 = 65532;
    const OTHER: u32 = 1000;

    #[rstest]
    #[case::ours(US, 0, 0o700)]
    #[case::that_others_may_read(US, OTHER, 0o755)]
    #[case::of_our_group(US, US, 0o775)]
    #[case::of_root(ROOT, ROOT, 0o755)]
    #[case::an_empty_dir_with_fs_group(ROOT, 2000, 0o2770)]
    fn a_directory_that_only_we_write_to_is_safe(
        #[case] owner: u32,
        #[case] group: u32,
        #[case] mode: u32,
    ) {
        assert_eq!(us().judge_mode(owner, group, mode), OwnerCheck::Safe);
    }

    #[rstest]
    #[case::an_empty_dir(0o40777)]
    #[case::an_empty_dir_with_fs_group(0o42777)]
    #[case::the_systems_temporary_directory(0o41777)]
    fn a_directory_that_root_opened_to_all_is_recognised(#[case] mode: u32) {
        assert_eq!(us().judge_mode(ROOT, 2000, mode), OwnerCheck::OpenByRoot);
    }

    #[rstest]
    #[case::anothers(OTHER, US, 0o700, "owned by user 1000, and this host is user 65532")]
    #[case::another_groups(US, OTHER, 0o770, "group 1000 may write to it (mode 0770)")]
    #[case::roots_and_another_groups(ROOT, ROOT, 0o775, "group 0 may write to it (mode 0775)")]
    #[case::open_to_all_though_ours(US, US, 0o777, "everybody may write to it (mode 0777)")]
    #[case::roots_and_others(ROOT, ROOT, 0o702, "everybody may write to it (mode 0702)")]
    fn a_directory_that_others_write_to_is_refused(
        #[case] owner: u32,
        #[case] group: u32,
        #[case] mode: u32,
        #[case] told: &str,
    ) {
        let OwnerCheck::Unsafe { problem, .. } = us().judge_mode(owner, group, mode) else {
            panic!("it is not refused");
        };
        assert!(problem.contains(told), "{problem}");
    }

    #[rstest]
    #[case::ours(US, US, 0o600, None)]
    #[case::of_root(ROOT, ROOT, 0o644, None)]
    #[case::anothers(OTHER, US, 0o600, Some("owned by user 1000"))]
    #[case::open_to_a_group(US, OTHER, 0o660, Some("group 1000 may write to it"))]
    #[case::open_to_all(US, US, 0o666, Some("everybody may write to it (mode 0666)"))]
    #[case::that_root_opened_to_all(ROOT, ROOT, 0o777, Some("everybody may write to it"))]
    fn a_file_that_others_can_have_written_is_not_used(
        #[case] owner: u32,
        #[case] group: u32,
        #[case] mode: u32,
        #[case] told: Option<&str>,
    ) {
        let checked = us().check_file(owner, group, mode);
        match told {
            None => assert_eq!(checked, Ok(())),
            Some(told) => assert!(checked.as_ref().unwrap_err().contains(told), "{checked:?}"),
        }
    }

    fn us() -> ProcessIdentity {
        ProcessIdentity {
            user: US,
            groups: vec![2000, US],
        }
    }

    fn directory(mode: u32) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        directory
    }

    #[test]
    fn in_a_directory_that_is_open_to_all_one_of_our_own_is_made() {
        let directory = directory(0o777);
        let own = own(directory.path()).unwrap();
        assert_eq!(own, directory.path().join("handler-host"));
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        super::own(directory.path()).unwrap();

        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        let error = super::own(directory.path()).unwrap_err().to_string();
        assert!(error.contains("everybody may write to it"), "{error}");
        assert!(error.contains("--state-dir"), "{error}");
    }

    #[test]
    fn a_link_in_a_directory_that_is_open_to_all_is_not_followed() {
        let (directory, elsewhere) = (directory(0o777), directory(0o700));
        symlink(elsewhere.path(), directory.path().join(OWN)).unwrap();
        let error = own(directory.path()).unwrap_err().to_string();
        assert!(error.contains("handler-host cannot be read"), "{error}");
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_not_used() {
        let error = settle(directory(0o702).path()).unwrap_err().to_string();
        assert!(
            error.contains("everybody may write to it (mode 0702)"),
            "{error}"
        );
        let ours = directory(0o770);
        assert_eq!(settle(ours.path()).unwrap(), ours.path());
    }

    #[test]
    fn only_root_may_have_opened_a_directory_to_all() {
        let directory = directory(0o777);
        let settled = settle(directory.path());
        if geteuid().is_root() {
            assert_eq!(settled.unwrap(), directory.path().join("handler-host"));
        } else {
            let error = settled.unwrap_err().to_string();
            assert!(error.contains("everybody may write to it"), "{error}");
        }
    }
}
