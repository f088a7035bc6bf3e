//! The HTTP endpoints of a host: `/livez`, `/readyz` and `/metrics`.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::metrics::ScrapedMetrics;
use super::process::Operator;
use crate::wait::{DEADLINE, eventually};

/// Arguments of a host that listens on a free port.
pub const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A client of the HTTP endpoints of a host.
#[derive(Clone, Copy, Debug)]
pub struct ProbeClient {
    address: SocketAddr,
}

/// An answer of a host.
#[derive(Clone, Debug)]
pub struct ProbeAnswer {
    /// The HTTP status code.
    pub code: u16,
    /// The header `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: String,
}

impl ProbeClient {
    /// A client of an operator that was started with [`LISTEN`].
    pub async fn of(operator: &mut Operator) -> Self {
        let line = operator.wait_for_line("answering /livez", DEADLINE).await;
        let address = line.split("address=").nth(1).unwrap_or_default();
        let address = address.trim().parse();
        Self {
            address: address.unwrap_or_else(|error| panic!("{line}: {error}")),
        }
    }

    /// The address of the endpoints.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The answer to a GET of a path.
    pub async fn get(&self, path: &str) -> ProbeAnswer {
        self.ask("GET", path, "*/*").await
    }

    /// The answer to a request with a method, a path and a header `Accept`.
    pub async fn ask(&self, method: &str, path: &str, accept: &str) -> ProbeAnswer {
        let answer = self.try_ask(method, path, accept).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:#}"))
    }

    async fn try_ask(&self, method: &str, path: &str, accept: &str) -> Result<ProbeAnswer> {
        let mut connection = TcpStream::connect(self.address).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: host\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        connection.read_to_string(&mut text).await?;
        let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
        let code = head.split(' ').nth(1).context("no code")?.parse()?;
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        let content_type = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        Ok(ProbeAnswer {
            code,
            content_type: content_type.map_or_else(String::new, |(_, it)| it.to_owned()),
            body: body.to_owned(),
        })
    }

    /// Waits until a GET of a path is answered with this status code.
    pub async fn answers(&self, path: &str, code: u16) -> ProbeAnswer {
        let what = format!("{path} is answered with {code}");
        eventually(&what, DEADLINE, async || {
            let answer = self.get(path).await;
            if answer.code == code {
                Ok(answer)
            } else {
                Err(format!("{answer:?}"))
            }
        })
        .await
    }

    /// The present metrics.
    pub async fn metrics(&self) -> ScrapedMetrics {
        ScrapedMetrics::read(&self.get("/metrics").await.body)
    }

    /// Waits until the series of a metric with these labels has a value.
    pub async fn measures(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{name} {labels:?} is {value}");
        eventually(&what, DEADLINE, async || {
            let is = self.metrics().await.value(name, labels);
            if is == Some(value) {
                Ok(())
            } else {
                Err(format!("{is:?}"))
            }
        })
        .await;
    }
}
