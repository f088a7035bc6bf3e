//! A real image registry.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::paths;
use crate::programs::server::{Launch, Server};

/// The user name of a registry that has a password.
pub const USER: &str = "ali";
/// The password of [`USER`].
pub const PASSWORD: &str = "open-sesame";
/// The htpasswd file of both. Registries take only bcrypt; golang.org/x/crypto/bcrypt made this hash with cost 4.
const HTPASSWD: &str = "ali:$2a$04$WDpiTGAeVTbNwPt2EdKENuCu1t3tZMWC3TbsVHyUXbIc/zlXb2Zg.\n";

/// A registry of the distribution project on a free port, without TLS. The registry and its images are removed
/// when this is dropped.
pub struct Registry {
    address: SocketAddr,
    _server: Server,
    _directory: TempDir,
}

impl Registry {
    /// Starts an empty registry that needs no password. Panics if it cannot be started.
    pub async fn start() -> Self {
        let started = Self::try_start(Ipv4Addr::LOCALHOST, None).await;
        started.unwrap_or_else(|error| panic!("no registry: {error:#}"))
    }

    /// Starts an empty registry that only [`USER`] may use, with [`PASSWORD`]. Panics if it cannot be started.
    pub async fn start_with_password() -> Self {
        let started = Self::try_start(Ipv4Addr::LOCALHOST, Some(HTPASSWD)).await;
        started.unwrap_or_else(|error| panic!("no registry: {error:#}"))
    }

    /// Starts an empty registry that needs no password, on an address that Pods reach: see
    /// [`Node::address`](crate::Node::address). Panics if it cannot be started.
    pub async fn start_on(address: Ipv4Addr) -> Self {
        let started = Self::try_start(address, None).await;
        started.unwrap_or_else(|error| panic!("no registry: {error:#}"))
    }

    async fn try_start(address: Ipv4Addr, htpasswd: Option<&str>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let passwords = match htpasswd {
            Some(htpasswd) => {
                let path = directory.path().join("htpasswd");
                fs::write(&path, htpasswd)?;
                Some(path)
            }
            None => None,
        };
        let program = paths::registry()?;
        let launch = Launch {
            name: "registry",
            programs: program.parent().context("the registry has no directory")?,
            logs: directory.path(),
            ports: 1,
            // By default it sends traces to a collector, which does not run here.
            environment: &[("OTEL_TRACES_EXPORTER", "none")],
        };
        let at = |port: u16| SocketAddr::from((address, port));
        let arguments = |ports: &[u16]| {
            let path = directory.path().join("config.yaml");
            let config = config(directory.path(), at(ports[0]), passwords.as_deref());
            // JSON is YAML.
            fs::write(&path, config.to_string())?;
            Ok(vec!["serve".to_owned(), path.display().to_string()])
        };
        let is_ready = async |ports: &[u16]| answers(at(ports[0])).await.is_some();
        let (server, ports) = launch.start(arguments, is_ready).await?;
        Ok(Self {
            address: at(ports[0]),
            _server: server,
            _directory: directory,
        })
    }

    /// The address of the registry.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The reference of an image in this registry. The name is such as `acme/evc:1`.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Writes a docker config file with a login to this registry. Returns its path.
    pub fn docker_config(&self, directory: &Path, password: &str) -> PathBuf {
        let path = directory.join("config.json");
        let config = login(&self.address.to_string(), password).to_string();
        fs::write(&path, config).unwrap_or_else(|error| panic!("no docker config: {error}"));
        path
    }
}

/// The docker config that `docker login` writes for [`USER`].
pub fn login(registry: &str, password: &str) -> Value {
    json!({"auths": {registry: {"username": USER, "password": password}}})
}

fn config(directory: &Path, address: SocketAddr, htpasswd: Option<&Path>) -> Value {
    let mut config = json!({
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": true}},
        "storage": {"filesystem": {"rootdirectory": directory.join("storage")}},
        "http": {"addr": address.to_string()},
    });
    if let Some(path) = htpasswd {
        config["auth"] = json!({"htpasswd": {"realm": "tests", "path": path}});
    }
    config
}

/// Whether a registry answers, with or without a password.
async fn answers(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let ask = b"GET /v2/ HTTP/1.0\r\n\r\n";
    stream.write_all(ask).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?;
    ["200", "401"].contains(&status).then_some(())
}
