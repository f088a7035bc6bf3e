//! A registry that misbehaves, in ways that can be changed while it runs.

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
pub enum Manner {
    /// It ends every connection at once.
    HangUp,
    /// It accepts and never answers.
    Silent,
    /// It answers every request with this status and text.
    Says(u16, &'static str),
    /// It sends a manifest for ever.
    EndlessManifest,
    /// It sends a token for ever, after it has asked for one.
    EndlessToken,
    /// It sends a sensible manifest that claims a module of this size, and then that module for ever.
    EndlessModule(i64),
    /// The same, a byte at a time.
    SlowModule(i64),
    /// It sends a sensible manifest, and then another module than that.
    WrongModule,
    /// It does not, but gives the module `right` only to those who show the token that it gives everybody.
    Token,
    /// It does not: everything goes to the registry at this address.
    Relayed(SocketAddr),
}

/// The digest of `right`.
const RIGHT: &str = "sha256:27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9";

/// A server on a free loopback port that speaks just enough HTTP to be taken for a registry. It and its
/// connections end when this is dropped.
pub struct Hostile {
    address: SocketAddr,
    manner: watch::Sender<Manner>,
    sent: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl Hostile {
    /// Starts one. Panics if there is no free port.
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("no address: {error}"));
        let (manner, manners) = watch::channel(manner);
        let sent = Arc::new(AtomicU64::new(0));
        let serving = tokio::spawn(serve(listener, manners, sent.clone()));
        Self {
            address,
            manner,
            sent,
            serving,
        }
    }

    /// The reference of an image in it, of a name such as `acme/evc:1`.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Ends all connections, and treats new ones in another manner.
    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// How many bytes it got rid of, of those it sends for ever.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, mut manners: watch::Receiver<Manner>, sent: Arc<AtomicU64>) {
    // Dropped, and its connections with it, when this task is aborted.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            changed = manners.changed() => match changed {
                Ok(()) => connections.abort_all(),
                Err(_) => return,
            },
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let manner = manners.borrow().clone();
                let sent = sent.clone();
                // Whoever asked may go away at any time.
                connections.spawn(async move { drop(Answer { stream, sent }.give(manner).await) });
            }
        }
    }
}

/// One connection.
struct Answer {
    stream: TcpStream,
    sent: Arc<AtomicU64>,
}

impl Answer {
    async fn give(mut self, manner: Manner) -> std::io::Result<()> {
        match manner {
            Manner::HangUp => return Ok(()),
            Manner::Silent => std::future::pending().await,
            Manner::Relayed(address) => {
                let mut registry = TcpStream::connect(address).await?;
                copy_bidirectional(&mut self.stream, &mut registry).await?;
                return Ok(());
            }
            Manner::Says(..)
            | Manner::EndlessManifest
            | Manner::EndlessToken
            | Manner::EndlessModule(_)
            | Manner::SlowModule(_)
            | Manner::WrongModule
            | Manner::Token => {}
        }
        let (path, has_token) = self.asked().await?;
        let is_manifest = path.contains("/manifests/");
        match manner {
            Manner::HangUp | Manner::Silent | Manner::Relayed(_) => Ok(()),
            Manner::Says(status, text) => self.say(status, "", text).await,
            Manner::EndlessToken | Manner::Token if !has_token && !path.starts_with("/token") => {
                let address = self.stream.local_addr()?;
                let challenge = format!(
                    "WWW-Authenticate: Bearer realm=\"http://{address}/token\",service=\"s\"\r\n"
                );
                self.say(401, &challenge, "{}").await
            }
            Manner::Token if path == "/token?service=s&scope=repository%3Aevc%3Apull" => {
                self.say(200, "", r#"{"token": "open"}"#).await
            }
            Manner::Token if is_manifest => self.say(200, "", &manifest(RIGHT, 5)).await,
            Manner::Token if path.ends_with(RIGHT) => self.say(200, "", "right").await,
            Manner::Token => self.say(404, "", &path).await,
            Manner::EndlessModule(size) | Manner::SlowModule(size) if is_manifest => {
                self.say(200, "", &manifest(&nothing(), size)).await
            }
            Manner::WrongModule if is_manifest => self.say(200, "", &manifest(&nothing(), 5)).await,
            Manner::WrongModule => self.say(200, "", "wrong").await,
            Manner::SlowModule(_) => self.drip().await,
            Manner::EndlessManifest | Manner::EndlessToken | Manner::EndlessModule(_) => {
                self.pour().await
            }
        }
    }

    /// The path of the request, and whether it shows the token.
    async fn asked(&mut self) -> std::io::Result<(String, bool)> {
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

/// A digest that no module has.
fn nothing() -> String {
    format!("sha256:{}", "0".repeat(64))
}

/// The manifest of an image with a module of this digest and size.
fn manifest(digest: &str, size: i64) -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "layers": [{"mediaType": "application/wasm", "digest": digest, "size": size}],
    })
    .to_string()
}
