//! `handler-host run` as a child, watched from outside.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::control_plane::ControlPlane;
use crate::identity::Identity;
use crate::wait::within;
use crate::{child, paths};

/// How long an operator may take to end.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// How to run an operator; made by [`Operator::of`].
#[must_use = "nothing runs before `start`"]
pub struct Options {
    kubeconfig: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// A running `handler-host run`, killed when dropped.
pub struct Operator {
    child: Child,
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
}

/// What an operator has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time, user and system.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub resident: u64,
    /// The most resident memory so far, in bytes.
    pub peak_resident: u64,
}

impl Options {
    /// The component to run.
    pub fn module(self, path: impl AsRef<Path>) -> Self {
        self.arg("--module").arg(path.as_ref())
    }

    /// A namespace to watch; all when never called.
    pub fn namespace(self, name: &str) -> Self {
        self.arg("--namespace").arg(name)
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// A kubeconfig that is not one of the control plane's own.
    pub fn kubeconfig(mut self, path: impl AsRef<Path>) -> Self {
        self.kubeconfig = path.as_ref().to_owned();
        self
    }

    /// Starts it. Whether it is ready, its log says.
    pub fn start(self) -> Operator {
        let program = paths::handler_host().unwrap_or_else(|error| panic!("{error:#}"));
        let is_formatted = self.arguments.iter().any(|it| it == "--log-format");
        // What a test looks for in the log is text.
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
    /// Options of an operator for a control plane, as one of its users: rightly [`Identity::Host`].
    pub fn of(control_plane: &ControlPlane, identity: Identity) -> Options {
        Options {
            kubeconfig: control_plane.kubeconfig(identity),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has written so far, stdout and stderr as they came.
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The lines that contain a text.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| line.contains(text))
            .collect()
    }

    /// Waits for a line that contains a text, written already or still to come.
    pub async fn wait_for_line(&mut self, text: &str, deadline: Duration) -> String {
        self.wait_for_lines(text, 1, deadline).await.remove(0)
    }

    /// Waits until at least so many lines contain a text.
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
                // No use waiting; an Ok ends the wait.
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

    /// Its whole log, for messages.
    pub fn log(&self) -> String {
        format!("--- the operator's log\n{}\n---", self.lines().join("\n"))
    }

    /// Sends SIGTERM and waits for the end: how it ended and how long that took.
    pub async fn terminate(&mut self) -> (ExitStatus, Duration) {
        self.end_by(Signal::TERM).await
    }

    /// Sends SIGKILL and waits for the end.
    pub async fn kill(&mut self) {
        self.end_by(Signal::KILL).await;
    }

    /// Stops it where it is, as a machine does that hangs, until [`resume`](Self::resume).
    pub fn pause(&self) {
        child::signal(self.pid, Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        child::signal(self.pid, Signal::CONT);
    }

    /// Waits for it to end by itself.
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

    /// CPU time and memory so far, from /proc.
    pub fn usage(&self) -> Usage {
        read_usage(self.pid)
            .unwrap_or_else(|| panic!("the operator is gone from /proc\n{}", self.log()))
    }

    async fn end_by(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let started = Instant::now();
        // Once reaped, the process ID may be somebody else's.
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
        lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }
}

fn read_usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold spaces; utime and stime are
    // fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |field: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some(Usage {
        cpu: Duration::from_secs(1) * u32::try_from(ticks).ok()?
            / u32::try_from(clock_ticks_per_second()).ok()?,
        resident: bytes("VmRSS:")?,
        peak_resident: bytes("VmHWM:")?,
    })
}
