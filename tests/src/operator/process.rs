//! `handler-host run` as a child process, and its log.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use super::usage::{OperatorUsage, read_usage};
use crate::accounts::TestAccount;
use crate::control_plane::ControlPlane;
use crate::paths;
use crate::programs::child;
use crate::wait::within;

/// How long an operator may take to end after a signal.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// How an operator is run. [`Operator::of`] makes it.
#[must_use = "nothing runs before `start`"]
pub struct OperatorOptions {
    kubeconfig: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// A running `handler-host run`, which is killed when this is dropped.
pub struct Operator {
    child: Child,
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
}

impl OperatorOptions {
    /// Adds the module to run.
    pub fn module(self, path: impl AsRef<Path>) -> Self {
        self.arg("--module").arg(path.as_ref())
    }

    /// Adds a namespace to serve. Without this call the operator serves all namespaces.
    pub fn namespace(self, name: &str) -> Self {
        self.arg("--namespace").arg(name)
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Replaces the kubeconfig.
    pub fn kubeconfig(mut self, path: impl AsRef<Path>) -> Self {
        self.kubeconfig = path.as_ref().to_owned();
        self
    }

    /// Starts the operator. Its log says when it is ready.
    pub fn start(self) -> Operator {
        let program = paths::handler_host().unwrap_or_else(|error| panic!("{error:#}"));
        let is_formatted = self.arguments.iter().any(|it| it == "--log-format");
        // Tests look for text in the log.
        let format: &[&str] = if is_formatted {
            &[]
        } else {
            &["--log-format", "text"]
        };
        let mut child = child::command(&program)
            .arg("run")
            .args(format)
            .args(self.arguments)
            .env("KUBECONFIG", self.kubeconfig)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(collect(stdout, lines.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(collect(stderr, lines.clone()));
        }
        let pid = child.id().unwrap_or_default();
        Operator { child, pid, lines }
    }
}

impl Operator {
    /// The options of an operator that uses a control plane as one of its users, usually [`TestAccount::Host`].
    pub fn of(control_plane: &ControlPlane, account: TestAccount) -> OperatorOptions {
        OperatorOptions {
            kubeconfig: control_plane.kubeconfig(account),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The lines of its log so far, from standard output and standard error, in the order in which they came.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    /// The lines that contain a text.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| line.contains(text))
            .collect()
    }

    /// Waits for a line that contains a text. The line may already have been written.
    pub async fn wait_for_line(&mut self, text: &str, deadline: Duration) -> String {
        self.wait_for_lines(text, 1, deadline).await.remove(0)
    }

    /// Waits until at least `count` lines contain a text.
    pub async fn wait_for_lines(
        &mut self,
        text: &str,
        count: usize,
        deadline: Duration,
    ) -> Vec<String> {
        let seen = within(deadline, async || {
            let ended = self.child.try_wait().ok().flatten();
            let found = self.lines_with(text);
            if found.len() >= count {
                Ok(Ok(found))
            } else if let Some(status) = ended {
                // An operator that has ended writes no more lines. An Ok ends the wait.
                Ok(Err(format!("the operator ended with {status}")))
            } else {
                Err(format!("{} such lines", found.len()))
            }
        })
        .await;
        match seen {
            Ok(Ok(found)) => found,
            Ok(Err(why)) | Err(why) => {
                panic!(
                    "not within {deadline:?}: {count} × `{text}` in the operator's log; {why}\n{}",
                    self.log()
                )
            }
        }
    }

    /// The whole log, for messages.
    pub fn log(&self) -> String {
        format!("--- the operator's log\n{}\n---", self.lines().join("\n"))
    }

    /// Sends SIGTERM and waits for the end. Returns how the operator ended and how long that took.
    pub async fn terminate(&mut self) -> (ExitStatus, Duration) {
        self.end_by(Signal::TERM).await
    }

    /// Sends SIGKILL and waits for the end.
    pub async fn kill(&mut self) {
        self.end_by(Signal::KILL).await;
    }

    /// Stops the process until [`resume`](Self::resume), as if its machine hung.
    pub fn pause(&self) {
        child::signal(self.pid, Signal::STOP);
    }

    /// Lets the process go on.
    pub fn resume(&self) {
        child::signal(self.pid, Signal::CONT);
    }

    /// Waits until the operator ends by itself.
    pub async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        match timeout(deadline, self.child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => panic!("cannot wait for the operator: {error}"),
            Err(_) => panic!(
                "the operator did not end within {deadline:?}\n{}",
                self.log()
            ),
        }
    }

    /// The CPU time and the memory that it has used so far.
    pub fn usage(&self) -> OperatorUsage {
        read_usage(self.pid)
            .unwrap_or_else(|| panic!("the operator is gone from /proc\n{}", self.log()))
    }

    async fn end_by(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let started = Instant::now();
        // After the process was waited for, another process may have its ID.
        if self.child.id().is_some() {
            child::signal(self.pid, signal);
        }
        let status = self.wait(END_DEADLINE).await;
        (status, started.elapsed())
    }
}

async fn collect(from: impl AsyncRead + Unpin, lines: Arc<Mutex<Vec<String>>>) {
    let mut reader = BufReader::new(from).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        lines.lock().push(line);
    }
}

/// When a line of the log was written. Panics if the line has no timestamp.
pub fn time_of(line: &str) -> Timestamp {
    let timestamp = line.split(' ').next().unwrap_or_default();
    timestamp
        .parse()
        .unwrap_or_else(|error| panic!("no timestamp in {line}: {error}"))
}
