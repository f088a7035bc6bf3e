//! Runs of `handler-host` that end by themselves: commands that need no cluster, and bad input.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::child;
use crate::paths;

const DEADLINE: Duration = Duration::from_secs(60);

/// The result of a program that has ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code, or `None` when a signal ended the program.
    pub code: Option<i32>,
    /// What the program wrote to standard output.
    pub stdout: String,
    /// What the program wrote to standard error.
    pub stderr: String,
}

/// Runs `handler-host` with these arguments and an empty standard input.
pub async fn handler_host<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    handler_host_with(arguments, &[], "").await
}

/// Runs `handler-host` with these arguments, environment variables and standard input.
pub async fn handler_host_with<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S>,
    environment: &[(&str, &str)],
    input: &str,
) -> Output {
    let program = paths::handler_host().unwrap_or_else(|error| panic!("{error:#}"));
    run(&program, arguments, environment, input).await
}

/// Runs any program with these arguments, environment variables and standard input.
pub async fn run<S: AsRef<OsStr>, V: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
    environment: &[(&str, V)],
    input: &str,
) -> Output {
    let mut child = child::command(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read its input says on standard error why.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let ended = timeout(DEADLINE, child.wait_with_output()).await;
    match ended {
        Ok(Ok(output)) => Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Ok(Err(error)) => panic!("cannot wait for {}: {error}", program.display()),
        Err(_) => panic!("{} did not end within {DEADLINE:?}", program.display()),
    }
}
