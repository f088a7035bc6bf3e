//! A relay to the API server, which a test can interrupt and restore.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::shared::ControlPlane;
use crate::accounts::TestAccount;

/// A port that passes connections on to an API server. While the relay is cut, its clients see no API server:
/// their connections end, and new ones are refused.
pub struct Relay {
    address: SocketAddr,
    server: SocketAddr,
    accepted: Arc<AtomicUsize>,
    traffic: watch::Sender<Traffic>,
    port: RelayPort,
    directory: TempDir,
}

/// The port of a relay.
enum RelayPort {
    /// Bound without listening, so that no other process gets the port.
    Closed(TcpSocket),
    Open(JoinHandle<()>),
}

/// What a relay does with the bytes of its connections.
#[derive(Clone, Copy, PartialEq)]
enum Traffic {
    Flowing,
    Stalled,
    /// What the API server sends comes so much later.
    Slow(Duration),
    /// The connections are reset.
    Reset,
}

/// What a relay does with a new connection.
#[derive(Clone, Copy)]
enum NewConnection {
    /// It passes the connection on to the API server.
    PassedOn,
    /// It closes the connection.
    Closed,
}

impl Relay {
    /// A relay to a control plane, which is cut until [`mend`](Self::mend).
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
            traffic: watch::Sender::new(Traffic::Flowing),
            port: RelayPort::Closed(socket),
            directory: tempfile::tempdir()?,
        };
        let text = fs::read(control_plane.kubeconfig(TestAccount::Host))?;
        let mut kubeconfig: Value = serde_json::from_slice(&text)?;
        kubeconfig["clusters"][0]["cluster"]["server"] =
            json!(format!("https://{}", relay.address));
        fs::write(relay.kubeconfig(), kubeconfig.to_string())?;
        Ok(relay)
    }

    /// The kubeconfig of [`TestAccount::Host`] through this relay.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// Accepts connections and passes them on.
    pub async fn mend(&mut self) {
        self.open(NewConnection::PassedOn).await;
    }

    /// Stops passing on bytes and the ends of connections, as a network does that drops packets.
    pub fn stall(&self) {
        self.traffic.send_replace(Traffic::Stalled);
    }

    /// Passes on what the API server sends, each time with this delay.
    pub fn slow_down(&self, delay: Duration) {
        self.traffic.send_replace(Traffic::Slow(delay));
    }

    /// Resets each connection, also new ones as soon as they have sent something.
    pub fn reset(&self) {
        self.traffic.send_replace(Traffic::Reset);
    }

    /// Passes bytes on at once after [`stall`](Self::stall), [`slow_down`](Self::slow_down) or [`reset`](Self::reset).
    pub fn flow(&self) {
        self.traffic.send_replace(Traffic::Flowing);
    }

    /// Closes every connection and refuses new ones.
    pub async fn cut(&mut self) {
        self.close().await;
    }

    /// Closes every connection, and new ones as soon as they come.
    pub async fn hang_up(&mut self) {
        self.open(NewConnection::Closed).await;
    }

    /// The number of connections that were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    async fn open(&mut self, treatment: NewConnection) {
        self.close().await;
        let spare = TcpSocket::new_v4().unwrap_or_else(|error| panic!("no socket: {error}"));
        let RelayPort::Closed(socket) = std::mem::replace(&mut self.port, RelayPort::Closed(spare))
        else {
            return;
        };
        let listener = socket
            .listen(1024)
            .unwrap_or_else(|error| panic!("cannot listen on {}: {error}", self.address));
        let accepted = self.accepted.clone();
        let traffic = self.traffic.subscribe();
        let serving = serve(listener, self.server, treatment, accepted, traffic);
        self.port = RelayPort::Open(tokio::spawn(serving));
    }

    async fn close(&mut self) {
        if let RelayPort::Open(serving) = &mut self.port {
            serving.abort();
            // The listener is closed only when the task has ended.
            let _ = serving.await;
            let socket = bind(self.address).unwrap_or_else(|error| panic!("{error:#}"));
            self.port = RelayPort::Closed(socket);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let RelayPort::Open(serving) = &self.port {
            serving.abort();
        }
    }
}

/// Binds a port below the ephemeral ports, which the system gives to processes that ask for any port. When a relay
/// is cut, its port is free for a moment, and a connection of another test must not take it then.
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
    // Without this, earlier connections that have ended keep the port in use.
    socket.set_reuseaddr(true)?;
    socket
        .bind(address)
        .with_context(|| format!("cannot bind {address}"))?;
    Ok(socket)
}

async fn serve(
    listener: TcpListener,
    server: SocketAddr,
    treatment: NewConnection,
    accepted: Arc<AtomicUsize>,
    traffic: watch::Receiver<Traffic>,
) {
    // When this task is aborted, the set is dropped and with it every connection.
    let mut connections = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        match treatment {
            NewConnection::Closed => drop(from),
            NewConnection::PassedOn => {
                let traffic = traffic.clone();
                connections.spawn(async move {
                    if let Ok(to) = TcpStream::connect(server).await {
                        relay(from, to, traffic).await;
                    }
                });
            }
        }
    }
}

/// Passes bytes on in both directions until one side closes the connection, or until it is reset.
async fn relay(from: TcpStream, to: TcpStream, traffic: watch::Receiver<Traffic>) {
    let (read_from, write_from) = from.into_split();
    let (read_to, write_to) = to.into_split();
    let (mut resets, mut client) = (traffic.clone(), write_from);
    let is_reset = tokio::select! {
        () = pass_on(read_from, write_to, Direction::Requests, traffic.clone()) => false,
        () = pass_on(read_to, &mut client, Direction::Answers, traffic) => false,
        reset = resets.wait_for(|traffic| *traffic == Traffic::Reset) => reset.is_ok(),
    };
    if is_reset {
        // Without a time to linger, the end of a connection is a reset.
        let _ = client.as_ref().set_zero_linger();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Requests,
    Answers,
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    mut traffic: watch::Receiver<Traffic>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer).await {
        // Bytes that were read, and the end of the connection, are kept until the relay passes them on again.
        let flows = traffic.wait_for(|traffic| *traffic != Traffic::Stalled);
        let Ok(now) = flows.await.map(|now| *now) else {
            return;
        };
        if let (Traffic::Slow(delay), Direction::Answers) = (now, direction) {
            tokio::time::sleep(delay).await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
