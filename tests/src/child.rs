//! Children that do not outlive their starter.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// A command for `program` whose child is killed when the `Child` is dropped, and by the kernel when
/// the starting thread ends by other means, such as SIGKILL.
///
/// The kernel's part is asked for by `setpriv` of util-linux, since asking for it ourselves between
/// fork and exec takes unsafe code. Without `setpriv` a killed starter leaves its children behind.
pub fn command(program: &Path) -> Command {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    let mut command = match SETPRIV.get_or_init(|| on_path("setpriv")) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    // A group of its own: Ctrl-C in a terminal reaches only the starter, which ends children in order.
    command.kill_on_drop(true).process_group(0);
    command
}

/// Sends a signal; a child that is gone already has nothing to be told.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// A program that the shell would find.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}
