//! A control plane that ends with the process that started it.
//!
//! It prints one line of JSON when it is ready. Each line that it then reads from standard input is a command about one
//! server, such as `kill kube-apiserver`, and is answered by a line. It runs until its standard input is closed, which also happens when
//! the process that started it panics or is killed, or until SIGTERM, SIGINT or SIGHUP.

use std::fs::{self, File};
use std::future::pending;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use handler_host_tests::paths;
use handler_host_tests::servers::{NodeEnvironment, Purpose, Servers, Setup};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// Start etcd, kube-apiserver and kube-controller-manager on free loopback ports.
///
/// When they are ready, one line of JSON on standard output says where the kubeconfigs are. They are
/// stopped when standard input is closed or by SIGTERM, SIGINT or SIGHUP.
#[derive(Parser)]
struct ControlPlaneArguments {
    /// Keep everything in DIR, also afterwards, instead of a temporary directory; started again with
    /// the same DIR, its objects are still there
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Run until a signal, also when standard input is closed
    #[arg(long)]
    stay: bool,
    /// Apply the CRDs in FILE before it is ready (repeatable)
    #[arg(long = "crd", value_name = "FILE")]
    crds: Vec<PathBuf>,
    /// Run a node with Pods beside it; only in the namespaces that tests/node/run makes
    #[arg(long)]
    node: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(ControlPlaneArguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&mut io::stderr(), &format!("control-plane: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: ControlPlaneArguments) -> Result<()> {
    let directory = Directory::new(arguments.keep.as_deref())?;
    let setup = Setup {
        assets: paths::assets()?,
        directory: directory.path().to_owned(),
        crds: arguments.crds,
        purpose: if arguments.node {
            Purpose::Node(NodeEnvironment::here()?)
        } else {
            Purpose::Clients
        },
    };
    let (commands, mut told) = mpsc::unbounded_channel();
    let mut stop = pin!(asked_to_stop(arguments.stay, commands));
    let (mut servers, ready) = tokio::select! {
        started = Servers::start(&setup) => started?,
        asked = &mut stop => return asked,
    };
    say(
        &mut io::stderr(),
        &format!(
            "control-plane: ready in {:.1} s at {}",
            ready.seconds, ready.server
        ),
    );
    say(&mut io::stdout(), &serde_json::to_string(&ready)?);
    let result = loop {
        let command: String = tokio::select! {
            asked = &mut stop => break asked,
            Some(command) = told.recv() => command,
            how = servers.ended() => break Err(anyhow::Error::msg(how)),
        };
        let answer = match servers.command(&command).await {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        say(&mut io::stdout(), &answer);
    };
    servers.stop().await;
    result
}

async fn asked_to_stop(stay: bool, commands: mpsc::UnboundedSender<String>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let closed = async {
        if stay {
            pending::<()>().await;
        }
        // An error means that the thread has ended, and then nothing would notice the end of the input.
        let _ = end_of_input(commands).await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
        () = closed => {}
    }
    Ok(())
}

/// Passes on the lines of standard input, and sends a message at its end. A thread of its own reads it, because a read that
/// blocks cannot be cancelled and would keep the runtime from ending.
fn end_of_input(commands: mpsc::UnboundedSender<String>) -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = commands.send(line);
        }
        let _ = sender.send(());
    });
    receiver
}

/// Writes a line. It fails when the process that started this one was killed, and then nothing is to be done.
fn say(to: &mut dyn Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

/// The directory of the control plane.
enum Directory {
    Temporary(TempDir),
    /// Locked while this runs, because two etcds on the same files would wait for each other.
    Kept {
        path: PathBuf,
        _lock: File,
    },
}

impl Directory {
    fn new(keep: Option<&Path>) -> Result<Self> {
        let Some(keep) = keep else {
            let directory = tempfile::Builder::new().prefix("control-plane-").tempdir();
            return Ok(Directory::Temporary(
                directory.context("cannot create a temporary directory")?,
            ));
        };
        let keep = std::path::absolute(keep)?;
        // The directory gets tokens and keys, so only its owner may read it.
        let created = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&keep);
        created.with_context(|| format!("cannot create --keep {}", keep.display()))?;
        let lock = File::create(keep.join("lock"))
            .with_context(|| format!("cannot write to --keep {}", keep.display()))?;
        if lock.try_lock().is_err() {
            bail!(
                "--keep {} is in use by another control plane; stop that one, or name another directory",
                keep.display()
            );
        }
        Ok(Directory::Kept {
            path: keep,
            _lock: lock,
        })
    }

    fn path(&self) -> &Path {
        match self {
            Directory::Temporary(directory) => directory.path(),
            Directory::Kept { path, .. } => path,
        }
    }
}
