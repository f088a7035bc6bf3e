//! A registry that misbehaves. A test can change its behaviour while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;

/// How a registry misbehaves.
#[derive(Clone, Debug)]
pub enum RegistryBehaviour {
    /// It closes every connection at once.
    HangUp,
    /// It accepts and never answers.
    Silent,
    /// It answers every request with this HTTP status code and text.
    Says(u16, &'static str),
    /// It sends a manifest without end.
    EndlessManifest,
    /// It asks for a token, and then sends a token without end.
    EndlessToken,
    /// It sends a valid manifest of a module of this size, and then a module without end.
    EndlessModule(i64),
    /// It does the same, but sends the module slowly, one byte at a time.
    SlowModule(i64),
    /// It sends a valid manifest, and then a module that is not the one of the manifest.
    WrongModule,
    /// It behaves well: it gives a token to every client, and the module `right` to clients that show the token.
    Token,
    /// It behaves well: it passes every connection on to the registry at this address.
    Relayed(SocketAddr),
}

/// The digest of the module `right`.
const RIGHT: &str = "sha256:27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9";

/// A server on a free loopback port that speaks as much HTTP as clients need to take it for a registry. The server
/// and its connections end when this is dropped.
pub struct HostileRegistry {
    address: SocketAddr,
    behaviour: watch::Sender<RegistryBehaviour>,
    sent: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl HostileRegistry {
    /// Starts a registry with this behaviour. Panics if there is no free port.
    pub async fn start(behaviour: RegistryBehaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("no address: {error}"));
        let (behaviour, behaviours) = watch::channel(behaviour);
        let sent = Arc::new(AtomicU64::new(0));
        let serving = tokio::spawn(serve(listener, behaviours, sent.clone()));
        Self {
            address,
            behaviour,
            sent,
            serving,
        }
    }

    /// The reference of an image in this registry. The name is such as `acme/evc:1`.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Closes all connections, and behaves in another way from now on.
    pub fn behave(&self, behaviour: RegistryBehaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// The number of bytes that it has sent of what it sends without end.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for HostileRegistry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    listener: TcpListener,
    mut behaviours: watch::Receiver<RegistryBehaviour>,
    sent: Arc<AtomicU64>,
) {
    // When this task is aborted, the set is dropped and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            changed = behaviours.changed() => match changed {
                Ok(()) => connections.abort_all(),
                Err(_) => return,
            },
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let behaviour = behaviours.borrow().clone();
                let sent = sent.clone();
                // The client may close the connection at any time, so an error here is of no interest.
                connections.spawn(async move { drop(RegistryConnection { stream, sent }.answer(behaviour).await) });
            }
        }
    }
}

/// A connection of a client.
struct RegistryConnection {
    stream: TcpStream,
    sent: Arc<AtomicU64>,
}

impl RegistryConnection {
    async fn answer(mut self, behaviour: RegistryBehaviour) -> std::io::Result<()> {
        match behaviour {
            RegistryBehaviour::HangUp => return Ok(()),
            RegistryBehaviour::Silent => std::future::pending().await,
            RegistryBehaviour::Relayed(address) => {
                let mut registry = TcpStream::connect(address).await?;
                copy_bidirectional(&mut self.stream, &mut registry).await?;
                return Ok(());
            }
            RegistryBehaviour::Says(..)
            | RegistryBehaviour::EndlessManifest
            | RegistryBehaviour::EndlessToken
            | RegistryBehaviour::EndlessModule(_)
            | RegistryBehaviour::SlowModule(_)
            | RegistryBehaviour::WrongModule
            | RegistryBehaviour::Token => {}
        }
        let (path, has_token) = self.read_request().await?;
        self.answer_request(behaviour, &path, has_token).await
    }

    async fn answer_request(
        &mut self,
        behaviour: RegistryBehaviour,
        path: &str,
        has_token: bool,
    ) -> std::io::Result<()> {
        let is_manifest = path.contains("/manifests/");
        match behaviour {
            RegistryBehaviour::HangUp
            | RegistryBehaviour::Silent
            | RegistryBehaviour::Relayed(_) => Ok(()),
            RegistryBehaviour::Says(status, text) => self.say(status, "", text).await,
            RegistryBehaviour::EndlessToken | RegistryBehaviour::Token
                if !has_token && !path.starts_with("/token") =>
            {
                let address = self.stream.local_addr()?;
                let challenge = format!(
                    "WWW-Authenticate: Bearer realm=\"http://{address}/token\",service=\"s\"\r\n"
                );
                self.say(401, &challenge, "{}").await
            }
            RegistryBehaviour::Token
                if path == "/token?service=s&scope=repository%3Aevc%3Apull" =>
            {
                self.say(200, "", r#"{"token": "open"}"#).await
            }
            RegistryBehaviour::Token if is_manifest => self.say(200, "", &manifest(RIGHT, 5)).await,
            RegistryBehaviour::Token if path.ends_with(RIGHT) => self.say(200, "", "right").await,
            RegistryBehaviour::Token => self.say(404, "", path).await,
            RegistryBehaviour::EndlessModule(size) | RegistryBehaviour::SlowModule(size)
                if is_manifest =>
            {
                self.say(200, "", &manifest(&unknown_digest(), size)).await
            }
            RegistryBehaviour::WrongModule if is_manifest => {
                self.say(200, "", &manifest(&unknown_digest(), 5)).await
            }
            RegistryBehaviour::WrongModule => self.say(200, "", "wrong").await,
            RegistryBehaviour::SlowModule(_) => self.drip().await,
            RegistryBehaviour::EndlessManifest
            | RegistryBehaviour::EndlessToken
            | RegistryBehaviour::EndlessModule(_) => self.pour().await,
        }
    }

    /// Reads a request. Returns its path, and whether it shows the token.
    async fn read_request(&mut self) -> std::io::Result<(String, bool)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let has_token = head
            .to_lowercase()
            .contains("authorization: bearer open\r\n");
        Ok((path, has_token))
    }

    async fn say(&mut self, status: u16, header: &str, text: &str) -> std::io::Result<()> {
        let length = text.len();
        let head = format!(
            "HTTP/1.1 {status} Status\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.shutdown().await
    }

    async fn pour(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        let bytes = [b' '; 64 << 10];
        loop {
            let sent = self.stream.write(&bytes).await?;
            self.sent.fetch_add(sent as u64, Ordering::Relaxed);
        }
    }

    async fn drip(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        let mut beat = interval(Duration::from_millis(20));
        loop {
            beat.tick().await;
            self.stream.write_all(b" ").await?;
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The digest of no module.
fn unknown_digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}

/// The manifest of an image that has a module of this digest and size.
fn manifest(digest: &str, size: i64) -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "layers": [{"mediaType": "application/wasm", "digest": digest, "size": size}],
    })
    .to_string()
}
