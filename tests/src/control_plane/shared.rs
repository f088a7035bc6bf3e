//! A control plane, and the one that all tests of a run share.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use kube::{Client, Error};

use crate::accounts::{TestAccount, client};
use crate::audit::{AuditEntries, AuditLog, Mark};
use crate::paths;
use crate::servers::ReadyControlPlane;
use crate::wait::eventually;

/// etcd, kube-apiserver and kube-controller-manager, run by a child process, the program `control-plane`.
///
/// The child process ends when its standard input is closed, and this holds the other end of that pipe. So the
/// servers end with the test run, in whatever way it ends.
pub struct ControlPlane {
    ready: ReadyControlPlane,
    audit: AuditLog,
    doomed: Sender<String>,
    dialogue: Mutex<Dialogue>,
    _child: Child,
}

/// The pipes to and from the program `control-plane`. It ends when its standard input is closed.
struct Dialogue {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl ControlPlane {
    /// The control plane that the tests of this process share; the first call starts it. It has the CRDs of Handler,
    /// EphemeralVolumeClaim and Puppet. Panics if it cannot be started.
    pub async fn shared() -> &'static ControlPlane {
        // A static outlives the runtime of every test, so it must not hold anything that belongs to a runtime.
        static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        let started = tokio::task::spawn_blocking(|| {
            SHARED.get_or_init(|| {
                ControlPlane::start(&paths::crds()).map_err(|error| format!("{error:#}"))
            })
        });
        match started.await {
            Ok(Ok(control_plane)) => control_plane,
            Ok(Err(error)) => panic!("no control plane: {error}"),
            Err(error) => panic!("no control plane: {error}"),
        }
    }

    /// Starts a control plane with these CRDs for one test, which needs other CRDs than the shared one has. It ends
    /// when this is dropped. Panics if it cannot be started.
    pub async fn own(crds: Vec<PathBuf>) -> ControlPlane {
        let started = tokio::task::spawn_blocking(move || ControlPlane::start(&crds)).await;
        match started {
            Ok(Ok(control_plane)) => control_plane,
            Ok(Err(error)) => panic!("no control plane: {error:#}"),
            Err(error) => panic!("no control plane: {error}"),
        }
    }

    fn start(crds: &[PathBuf]) -> Result<Self> {
        let crds = crds
            .iter()
            .flat_map(|crd| ["--crd".as_ref(), crd.as_os_str()]);
        Self::start_with(crds)
    }

    /// Starts `control-plane` with these arguments.
    pub(crate) fn start_with<S: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let mut child = Command::new(paths::binary("control-plane")?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start `control-plane`")?;
        let stdin = child
            .stdin
            .take()
            .context("`control-plane` has no standard input")?;
        let stdout = child
            .stdout
            .take()
            .context("`control-plane` has no standard output")?;
        let mut stderr = child
            .stderr
            .take()
            .context("`control-plane` has no standard error")?;
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line)?;
        if line.is_empty() {
            let _ = child.wait();
            return Err(anyhow!(errors.join().unwrap_or_default().trim().to_owned()));
        }
        let ready: ReadyControlPlane = serde_json::from_str(&line)
            .context("`control-plane` printed something else than JSON")?;
        let (doomed, names) = mpsc::channel();
        let kubeconfig = ready.admin_kubeconfig.clone();
        thread::spawn(move || delete_namespaces(&kubeconfig, &names));
        Ok(ControlPlane {
            audit: AuditLog::of(&ready.audit_log),
            ready,
            doomed,
            dialogue: Mutex::new(Dialogue { stdin, stdout }),
            _child: child,
        })
    }

    /// Has the program `control-plane` carry out a command about one of its servers, such as `kill kube-apiserver` or
    /// `start kube-apiserver`. Panics if that fails. A server that was started is not ready yet.
    pub fn command(&self, command: &str) {
        let mut dialogue = self.dialogue.lock().unwrap_or_else(PoisonError::into_inner);
        let Dialogue { stdin, stdout } = &mut *dialogue;
        let mut answer = String::new();
        let asked = writeln!(stdin, "{command}").and_then(|()| stdout.read_line(&mut answer));
        match asked {
            Ok(_) if answer == "done\n" => {}
            Ok(_) => panic!("{command}: {answer}"),
            Err(error) => panic!("{command}: {error}"),
        }
    }

    /// Its directory, URL, kubeconfigs and process IDs.
    pub fn ready(&self) -> &ReadyControlPlane {
        &self.ready
    }

    /// The kubeconfig of an account.
    pub fn kubeconfig(&self, account: TestAccount) -> PathBuf {
        account.kubeconfig(&self.ready.directory)
    }

    /// A new client of an account. Only the test that calls this may use it, because a client belongs to the
    /// runtime in which it was made.
    pub async fn client_as(&self, account: TestAccount) -> Client {
        match client(&self.kubeconfig(account)).await {
            Ok(client) => client,
            Err(error) => panic!("no client for {account:?}: {error:#}"),
        }
    }

    /// The audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// The requests since a mark. Every request that was answered before this call is among them.
    pub async fn audit_since(&self, mark: &Mark) -> AuditEntries {
        let last = format!("/version?last={:016x}", fastrand::u64(..));
        let admin = self.client_as(TestAccount::Admin).await;
        let ask = http::Request::get(&last).body(Vec::new());
        let answer = admin
            .request_text(ask.unwrap_or_else(|error| panic!("{last}: {error}")))
            .await;
        answer.unwrap_or_else(|error| panic!("the API server does not answer {last}: {error}"));
        eventually(
            "the latest request is in the audit log",
            Duration::from_secs(10),
            async || {
                let entries = self.audit.since(mark);
                entries
                    .iter()
                    .any(|entry| entry.uri == last)
                    .then(|| entries.only(|entry| entry.uri != last))
            },
        )
        .await
    }

    /// Where the names of namespaces are sent that are to be deleted.
    pub(crate) fn doomed(&self) -> Sender<String> {
        self.doomed.clone()
    }
}

/// Deletes the namespaces of tests that have ended. It has a runtime of its own, which does not end with a test.
fn delete_namespaces(kubeconfig: &std::path::Path, names: &Receiver<String>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    runtime.block_on(async {
        let Ok(admin) = client(kubeconfig).await else {
            return;
        };
        let namespaces: Api<Namespace> = Api::all(admin);
        while let Ok(name) = names.recv() {
            let deleted = namespaces.delete(&name, &DeleteParams::default()).await;
            if matches!(deleted, Err(Error::Service(_) | Error::HyperError(_))) {
                return;
            }
        }
    });
}
