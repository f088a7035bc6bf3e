//! Child processes that do not outlive the process that started them.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// A command for `program`. The child process is killed when the `Child` is dropped. When the starting
/// thread ends by other means, such as SIGKILL, the kernel kills the child process.
///
/// The program `setpriv` of util-linux asks the kernel for that, because a process can ask for it between
/// fork and exec only with unsafe code. Where `setpriv` is missing, the child processes of a killed process
/// go on.
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
    // The child gets a process group of its own. So Ctrl-C in a terminal reaches only this process, which
    // then ends its children in their order.
    command.kill_on_drop(true).process_group(0);
    command
}

/// Sends a signal. It does nothing when the process is gone already.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The path of a program that is in a directory of PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}
