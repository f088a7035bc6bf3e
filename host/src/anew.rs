//! Begins the program anew: the environment of a running process cannot be changed safely.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Begins the program anew, with its arguments and with another value of a variable. It returns only where that fails.
pub(crate) fn begin_anew(name: &str, value: impl AsRef<OsStr>) {
    let Ok(program) = env::current_exe() else {
        return;
    };
    let mut again = Command::new(program);
    if let Some(first) = env::args_os().next() {
        again.arg0(first);
    }
    let _ = again.args(env::args_os().skip(1)).env(name, value).exec();
}
