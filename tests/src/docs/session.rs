//! A shell in a checkout of its own, with a control plane.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{ShellStep, shows};
use crate::{ControlPlane, TestAccount, paths};

/// How long a command may take; one of them may compile a guest.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long what a command looks at may take to become what the document shows.
const DEADLINE: Duration = Duration::from_secs(60);
/// Ends what a command printed; its exit code follows.
const END: u8 = 0x1e;
/// Commands that change nothing: what they look at may still be on its way.
const LOOKS: [&str; 6] = [
    "cat ",
    "grep ",
    "kubectl describe ",
    "kubectl events ",
    "kubectl get ",
    "tail ",
];

/// A shell session. What it started ends with it, also when the session is dropped in the middle.
pub struct ShellSession {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    code: i32,
    _checkout: TempDir,
}

/// What became of a command.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed, stdout and stderr as they came.
    pub printed: String,
}

impl ShellSession {
    /// Starts a shell as the administrator of a control plane, with `kubectl` and `handler-host` at hand, in a copy of
    /// the checkout: what a document writes there harms nothing. Panics if it cannot.
    ///
    /// There `$DEPLOYED` is the kubeconfig of the host's own account, for a host that plays the one in a Pod, and
    /// `$BUILDS` is a target directory for what a document compiles.
    pub async fn start(control_plane: &ControlPlane) -> Self {
        match Self::try_start(control_plane).await {
            Ok(session) => session,
            Err(error) => panic!("no shell session: {error:#}"),
        }
    }

    async fn try_start(control_plane: &ControlPlane) -> Result<Self> {
        let checkout = tempfile::tempdir()?;
        let path = checkout.path();
        copy_checkout(path)?;
        let mut command = Command::new("bash");
        for (name, _) in env::vars_os() {
            // Everything here is on loopback: a proxy is for the rest of the world.
            let text = name.to_string_lossy().to_lowercase();
            if text.ends_with("_proxy") || text.starts_with("rust_log") {
                command.env_remove(name);
            }
        }
        let mut shell = command
            .args(["--noprofile", "--norc"])
            .current_dir(path)
            .env("PATH", search_path(path)?)
            .env("KUBECONFIG", control_plane.kubeconfig(TestAccount::Admin))
            .env("DEPLOYED", control_plane.kubeconfig(TestAccount::Deployed))
            .env("KUBECACHEDIR", path.join(".kube"))
            .env("XDG_STATE_HOME", path.join(".state"))
            .env("BUILDS", paths::target().join("docs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not the terminal's: Ctrl-C there ends the shell by the end of its input, and all else in order.
            .process_group(0)
            .spawn()
            .context("cannot start bash")?;
        let input = shell.stdin.take().context("bash has no standard input")?;
        let output = shell.stdout.take().context("bash has no standard output")?;
        let mut session = Self {
            shell,
            input,
            output: BufReader::new(output),
            code: 0,
            _checkout: checkout,
        };
        // The end of its input is the end of the shell, and so of what it started, however this process ends.
        let begin = "exec 2>&1; trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT";
        session.run(begin).await?;
        Ok(session)
    }

    /// Runs a command to its end, and what it put into the background goes on.
    pub async fn run(&mut self, command: &str) -> Result<Ran> {
        // `$?` is that of the command before, and what reads its input finds none.
        let code = self.code;
        let line = format!("{{ (exit {code})\n{command}\n}} </dev/null; printf '\\036%d\\n' $?\n");
        self.input.write_all(line.as_bytes()).await?;
        let mut printed = Vec::new();
        let mut end = String::new();
        let read = async {
            self.output.read_until(END, &mut printed).await?;
            self.output.read_line(&mut end).await
        };
        match timeout(PATIENCE, read).await {
            Ok(read) => read?,
            Err(_) => bail!("`{command}` did not end within {PATIENCE:?}"),
        };
        if printed.pop() != Some(END) {
            bail!("the shell ended with `{command}`");
        }
        self.code = end.trim().parse().context(end)?;
        Ok(Ran {
            code: self.code,
            printed: String::from_utf8_lossy(&printed).into_owned(),
        })
    }

    /// Runs a step of a document; the error says what it printed instead of what the document shows. What only looks
    /// is run again until it sees that.
    pub async fn play(&mut self, step: &ShellStep) -> Result<()> {
        let is_look = LOOKS.iter().any(|look| step.command.starts_with(look));
        let end = Instant::now() + DEADLINE;
        loop {
            let ran = self.run(&step.command).await?;
            // A command for which the document shows nothing is one that succeeds.
            let is_fine = ran.code == 0 || !step.expected.is_empty();
            if is_fine && shows(&step.expected, &ran.printed) {
                return Ok(());
            }
            if !is_look || Instant::now() > end {
                let Ran { code, printed } = ran;
                let expected = step.expected.join("\n");
                bail!(
                    "$ {}\n--- the document shows\n{expected}\n--- it printed, with exit code {code}\n{printed}",
                    step.command
                );
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Ends the shell and what it started.
    pub async fn end(self) {
        let Self {
            mut shell, input, ..
        } = self;
        drop(input);
        // One that does not end in time has its control plane taken away next.
        let _ = timeout(DEADLINE, shell.wait()).await;
    }
}

/// Copies the checkout, with a target directory that has what `just build` leaves.
fn copy_checkout(to: &Path) -> Result<()> {
    let mut copy = std::process::Command::new("cp");
    copy.arg("--recursive");
    for entry in fs::read_dir(paths::workspace())? {
        let entry = entry?;
        if !["target", ".git"]
            .map(OsString::from)
            .contains(&entry.file_name())
        {
            copy.arg(entry.path());
        }
    }
    let copied = copy.arg(to).status().context("cannot run cp")?;
    if !copied.success() {
        bail!("the checkout cannot be copied to {}", to.display());
    }
    let target = to.join("target");
    fs::create_dir_all(target.join("guests"))?;
    fs::copy(paths::guest("evc")?, target.join("guests/evc.wasm"))?;
    fs::create_dir_all(target.join("debug"))?;
    symlink(paths::handler_host()?, target.join("debug/handler-host"))?;
    Ok(())
}

fn search_path(checkout: &Path) -> Result<OsString> {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let first = [checkout.join("target/debug"), paths::assets()?];
    let all = first.into_iter().chain(env::split_paths(&inherited));
    Ok(env::join_paths(all)?)
}
