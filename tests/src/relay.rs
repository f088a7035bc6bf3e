//! A way to the API server that can be cut and mended.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::control_plane::ControlPlane;
use crate::identity::Identity;

/// A port in front of an API server. To those who go through it, the API server is gone while it is
/// cut: connections end, new ones are refused.
pub struct Relay {
    address: SocketAddr,
    server: SocketAddr,
    accepted: Arc<AtomicUsize>,
    /// Whether bytes are passed on.
    flows: watch::Sender<bool>,
    door: Door,
    directory: TempDir,
}

enum Door {
    /// Bound but not listening, so that nobody else gets the port.
    Closed(TcpSocket),
    Open(JoinHandle<()>),
}

#[derive(Clone, Copy)]
enum Guest {
    Relayed,
    SentAway,
}

impl Relay {
    /// A relay to a control plane, cut for now.
    pub fn to(control_plane: &ControlPlane) -> Self {
        Self::try_to(control_plane).unwrap_or_else(|error| panic!("no relay: {error:#}"))
    }

    fn try_to(control_plane: &ControlPlane) -> Result<Self> {
        let url = &control_plane.ready().server;
        let server = url.strip_prefix("https://").unwrap_or(url);
        let server = server
            .parse()
            .with_context(|| format!("{url} has no address"))?;
        let socket = bind_below_ephemeral_ports()?;
        let relay = Relay {
            address: socket.local_addr()?,
            server,
            accepted: Arc::default(),
            flows: watch::Sender::new(true),
            door: Door::Closed(socket),
            directory: tempfile::tempdir()?,
        };
        let text = fs::read(control_plane.kubeconfig(Identity::Host))?;
        let mut kubeconfig: Value = serde_json::from_slice(&text)?;
        kubeconfig["clusters"][0]["cluster"]["server"] =
            json!(format!("https://{}", relay.address));
        fs::write(relay.kubeconfig(), kubeconfig.to_string())?;
        Ok(relay)
    }

    /// The kubeconfig of [`Identity::Host`] through this relay.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// Passes everything on.
    pub async fn mend(&mut self) {
        self.open(Guest::Relayed).await;
    }

    /// Passes nothing on any more, neither bytes nor the end of a connection, as a network that drops packets.
    pub fn stall(&self) {
        self.flows.send_replace(false);
    }

    /// Passes everything on again.
    pub fn flow(&self) {
        self.flows.send_replace(true);
    }

    /// Ends every connection and refuses new ones.
    pub async fn cut(&mut self) {
        self.close().await;
    }

    /// Ends every connection and new ones as soon as they come.
    pub async fn hang_up(&mut self) {
        self.open(Guest::SentAway).await;
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    async fn open(&mut self, guest: Guest) {
        self.close().await;
        let spare = TcpSocket::new_v4().unwrap_or_else(|error| panic!("no socket: {error}"));
        let Door::Closed(socket) = std::mem::replace(&mut self.door, Door::Closed(spare)) else {
            return;
        };
        let listener = socket
            .listen(1024)
            .unwrap_or_else(|error| panic!("cannot listen on {}: {error}", self.address));
        let accepted = self.accepted.clone();
        let flows = self.flows.subscribe();
        let serving = serve(listener, self.server, guest, accepted, flows);
        self.door = Door::Open(tokio::spawn(serving));
    }

    async fn close(&mut self) {
        if let Door::Open(serving) = &mut self.door {
            serving.abort();
            // The listener is gone only when the task is.
            let _ = serving.await;
            let socket = bind(self.address).unwrap_or_else(|error| panic!("{error:#}"));
            self.door = Door::Closed(socket);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Door::Open(serving) = &self.door {
            serving.abort();
        }
    }
}

/// A port that the system gives to nobody who asks for any: when a relay closes, the port is free for a
/// moment, and a connection of another test must not take it.
fn bind_below_ephemeral_ports() -> Result<TcpSocket> {
    let mut last = None;
    for _ in 0..100 {
        match bind(SocketAddr::from((
            [127, 0, 0, 1],
            fastrand::u16(20_000..30_000),
        ))) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("no port was tried")))
}

fn bind(address: SocketAddr) -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Else the ends of its former connections keep the port.
    socket.set_reuseaddr(true)?;
    socket
        .bind(address)
        .with_context(|| format!("cannot bind {address}"))?;
    Ok(socket)
}

async fn serve(
    listener: TcpListener,
    server: SocketAddr,
    guest: Guest,
    accepted: Arc<AtomicUsize>,
    flows: watch::Receiver<bool>,
) {
    // Dropped, and its connections with it, when this task is aborted.
    let mut connections = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        match guest {
            Guest::SentAway => drop(from),
            Guest::Relayed => {
                let flows = flows.clone();
                connections.spawn(async move {
                    if let Ok(to) = TcpStream::connect(server).await {
                        relay(from, to, flows).await;
                    }
                });
            }
        }
    }
}

/// Either side may end it at any time.
async fn relay(from: TcpStream, to: TcpStream, flows: watch::Receiver<bool>) {
    let (read_from, write_from) = from.into_split();
    let (read_to, write_to) = to.into_split();
    tokio::select! {
        () = pass_on(read_from, write_to, flows.clone()) => {}
        () = pass_on(read_to, write_from, flows) => {}
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut flows: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer).await {
        // What was read is kept until it may go on; so is the end.
        if flows.wait_for(|flows| *flows).await.is_err() || read == 0 {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
