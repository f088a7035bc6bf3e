//! A server, such as etcd or an image registry, as a child process.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use super::child;

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(25);
const PORT_TRIES: usize = 5;

/// A server, which runs unless it was stopped for a while.
pub struct Server {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    log: PathBuf,
}

/// How a server is started.
pub(crate) struct Launch<'a> {
    /// The name of the program, of the server in messages, and of its log.
    pub(crate) name: &'static str,
    /// The directory that holds the program.
    pub(crate) programs: &'a Path,
    /// The directory that gets the log.
    pub(crate) logs: &'a Path,
    /// How many free ports the server needs.
    pub(crate) ports: usize,
    /// Environment variables besides the inherited ones.
    pub(crate) environment: &'a [(&'a str, &'a str)],
}

impl<'a> Launch<'a> {
    /// A server without environment variables of its own.
    pub(crate) fn new(
        name: &'static str,
        programs: &'a Path,
        logs: &'a Path,
        ports: usize,
    ) -> Self {
        Launch {
            name,
            programs,
            logs,
            ports,
            environment: &[],
        }
    }

    /// Starts the server and waits until `is_ready`. Another process may take a free port before the
    /// server binds it. After this failure, and after no other, the server is started again with other ports.
    pub(crate) async fn start(
        &self,
        arguments: impl Fn(&[u16]) -> Result<Vec<String>>,
        is_ready: impl AsyncFn(&[u16]) -> bool,
    ) -> Result<(Server, Vec<u16>)> {
        let mut tries = 0;
        loop {
            tries += 1;
            let ports = free_ports(self.ports)?;
            let mut server = Server::spawn(self, &arguments(&ports)?)?;
            match server.wait_until(async || is_ready(&ports).await).await {
                Ok(()) => return Ok((server, ports)),
                Err(_) if tries < PORT_TRIES && server.lost_its_port() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Server {
    fn spawn(launch: &Launch<'_>, arguments: &[String]) -> Result<Self> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut server = Server {
            name: launch.name,
            program: launch.programs.join(launch.name),
            arguments: arguments.to_vec(),
            environment: launch.environment.iter().map(owned).collect(),
            child: None,
            log: launch.logs.join(launch.name).with_extension("log"),
        };
        server.begin()?;
        Ok(server)
    }

    /// Starts the server with the arguments that it had before, so on the same ports. Its log begins anew.
    pub(crate) fn begin(&mut self) -> Result<()> {
        let output = File::create(&self.log)
            .with_context(|| format!("cannot create {}", self.log.display()))?;
        let child = child::command(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Ends the server by a signal, and waits for its end.
    pub(crate) async fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Some(pid) = child.id() {
            child::signal(pid, signal);
        }
        if timeout(STOP_DEADLINE, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }

    async fn wait_until(&mut self, is_ready: impl AsyncFn() -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.as_mut().and_then(|it| it.try_wait().transpose()) {
                let status = status?;
                bail!(
                    "{} ended at start with {status}; the end of its log:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            if timeout(Duration::from_secs(5), is_ready())
                .await
                .unwrap_or(false)
            {
                return Ok(());
            }
            if started.elapsed() > START_DEADLINE {
                bail!(
                    "{} is not ready after {} s; the end of its log:\n{}",
                    self.name,
                    START_DEADLINE.as_secs(),
                    self.log_tail()
                );
            }
            sleep(POLL).await;
        }
    }

    /// The name of the program.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The process ID, while the server runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Waits until the server ends by itself, which a server should not do; says how it ended.
    pub async fn ended(&mut self) -> String {
        let Some(child) = &mut self.child else {
            return std::future::pending().await;
        };
        match child.wait().await {
            Ok(status) => format!(
                "{} ended with {status}; the end of its log:\n{}",
                self.name,
                self.log_tail()
            ),
            Err(error) => format!("{} cannot be waited for: {error}", self.name),
        }
    }

    /// Sends SIGTERM, and SIGKILL when the server does not end in time.
    pub async fn stop(mut self) {
        self.end(Signal::TERM).await;
    }

    fn lost_its_port(&self) -> bool {
        self.log_text().contains("address already in use")
    }

    fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// Free ports. They all differ, because each is held until the last one is found.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<_, _>>()
        .context("no free port on 127.0.0.1")?;
    Ok(listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect::<std::io::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_port_lost_before_it_was_bound_is_replaced_by_another() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let program = "#!/bin/sh
            if [ -e first ]; then touch second; exec sleep 60; fi
            touch first; echo 'bind: address already in use'; exit 1";
        let program = program.replace("first", &at("first").display().to_string());
        let program = program.replace("second", &at("second").display().to_string());
        fs::write(at("server"), program).unwrap();
        fs::set_permissions(at("server"), fs::Permissions::from_mode(0o755)).unwrap();

        let launch = Launch {
            name: "server",
            programs: directory.path(),
            logs: directory.path(),
            ports: 1,
            environment: &[],
        };
        let tried = std::cell::RefCell::new(Vec::new());
        let arguments = |ports: &[u16]| {
            tried.borrow_mut().push(ports[0]);
            Ok(Vec::new())
        };
        let (server, ports) = launch
            .start(arguments, async |_| at("second").exists())
            .await
            .unwrap();
        server.stop().await;
        assert_eq!(tried.borrow().len(), 2);
        assert_eq!(tried.borrow().last(), ports.first());
    }
}
