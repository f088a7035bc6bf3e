//! A registry that misbehaves. A test can change its behaviour while it runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// It says to send the module, with a length that is larger than that of the manifest, and sends nothing.
    LongModule,
    /// It behaves well: it gives a token to every client, and the module `right` to clients that show the token.
    Token,
    /// It asks for a token of this realm, and gives the module `right` to clients that show the token `open`.
    Realm(String),
    /// It redirects every request to this server.
    Redirects(String),
    /// It redirects requests for the module to this server, and answers all others well.
    RedirectsModule(String),
    /// It gives everybody the module `right`.
    Right,
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
    seen: Seen,
    serving: JoinHandle<()>,
}

/// What a registry has done.
#[derive(Clone, Default)]
struct Seen {
    sent: Arc<AtomicU64>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// The address of this machine in a network; None if it is in none.
pub fn network_address() -> Option<IpAddr> {
    // To connect a socket of UDP sends nothing, but chooses the address that it would be sent from.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

impl HostileRegistry {
    /// Starts a registry with this behaviour. Panics if there is no free port.
    pub async fn start(behaviour: RegistryBehaviour) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), behaviour).await
    }

    /// Starts a registry on this address of this machine. Panics if it has no free port.
    pub async fn start_on(address: IpAddr, behaviour: RegistryBehaviour) -> Self {
        let listener = TcpListener::bind((address, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
        let address = listener.local_addr();
        let address = address.unwrap_or_else(|error| panic!("no address: {error}"));
        let (behaviour, behaviours) = watch::channel(behaviour);
        let seen = Seen::default();
        let serving = tokio::spawn(serve(listener, behaviours, seen.clone()));
        Self {
            address,
            behaviour,
            seen,
            serving,
        }
    }

    /// The address of the registry.
    pub fn address(&self) -> SocketAddr {
        self.address
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
        self.seen.sent.load(Ordering::Relaxed)
    }

    /// The heads of the requests that it was sent.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.seen.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
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
    seen: Seen,
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
                let seen = seen.clone();
                // The client may close the connection at any time, so an error here is of no interest.
                connections.spawn(async move { drop(RegistryConnection { stream, seen }.answer(behaviour).await) });
            }
        }
    }
}

/// A connection of a client.
struct RegistryConnection {
    stream: TcpStream,
    seen: Seen,
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
            | RegistryBehaviour::LongModule
            | RegistryBehaviour::Token
            | RegistryBehaviour::Realm(_)
            | RegistryBehaviour::Redirects(_)
            | RegistryBehaviour::RedirectsModule(_)
            | RegistryBehaviour::Right => {}
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
            RegistryBehaviour::Realm(realm) if !has_token => {
                let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n");
                self.say(401, &challenge, "{}").await
            }
            RegistryBehaviour::Redirects(place) => self.redirect(&place, path).await,
            RegistryBehaviour::RedirectsModule(place) if path.contains("/blobs/") => {
                self.redirect(&place, path).await
            }
            RegistryBehaviour::Token
            | RegistryBehaviour::Realm(_)
            | RegistryBehaviour::RedirectsModule(_)
            | RegistryBehaviour::Right => self.give(path).await,
            RegistryBehaviour::EndlessModule(size) | RegistryBehaviour::SlowModule(size)
                if is_manifest =>
            {
                self.say(200, "", &manifest(&unknown_digest(), size)).await
            }
            RegistryBehaviour::WrongModule | RegistryBehaviour::LongModule if is_manifest => {
                self.say(200, "", &manifest(&unknown_digest(), 5)).await
            }
            RegistryBehaviour::WrongModule => self.say(200, "", "wrong").await,
            RegistryBehaviour::LongModule => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n";
                self.stream.write_all(head).await?;
                std::future::pending().await
            }
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
        let head = String::from_utf8_lossy(&head).into_owned();
        let requests = self.seen.requests.lock();
        requests
            .unwrap_or_else(PoisonError::into_inner)
            .push(head.clone());
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let has_token = head
            .to_lowercase()
            .contains("authorization: bearer open\r\n");
        Ok((path, has_token))
    }

    /// Gives the image of the module `right`.
    async fn give(&mut self, path: &str) -> std::io::Result<()> {
        if path.contains("/manifests/") {
            return self.say(200, "", &manifest(RIGHT, 5)).await;
        }
        match path.ends_with(RIGHT) {
            true => self.say(200, "", "right").await,
            false => self.say(404, "", path).await,
        }
    }

    async fn redirect(&mut self, place: &str, path: &str) -> std::io::Result<()> {
        let location = format!("Location: {place}{path}\r\n");
        self.say(307, &location, "the words of a redirect").await
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
            self.seen.sent.fetch_add(sent as u64, Ordering::Relaxed);
        }
    }

    async fn drip(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        let mut beat = interval(Duration::from_millis(20));
        loop {
            beat.tick().await;
            self.stream.write_all(b" ").await?;
            self.seen.sent.fetch_add(1, Ordering::Relaxed);
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
