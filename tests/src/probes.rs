//! What a host answers over HTTP: `/livez`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use prometheus_parse::{Sample, Scrape, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::operator::Operator;
use crate::wait::eventually;

/// How long tests wait.
const DEADLINE: Duration = Duration::from_secs(30);

/// Arguments of a host that answers at a port of its own.
pub const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Where a host answers.
#[derive(Clone, Copy, Debug)]
pub struct Probes {
    address: SocketAddr,
}

/// What a host answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The `Content-Type`.
    pub content_type: String,
    /// The text.
    pub body: String,
}

impl Probes {
    /// Those of an operator that was started with [`LISTEN`].
    pub async fn of(operator: &mut Operator) -> Self {
        let line = operator.wait_for_line("answering /livez", DEADLINE).await;
        let address = line.split("address=").nth(1).unwrap_or_default();
        let address = address.trim().parse();
        Self {
            address: address.unwrap_or_else(|error| panic!("{line}: {error}")),
        }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it answers to a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "*/*").await
    }

    /// What it answers to a path, in a format if it has that.
    pub async fn ask(&self, method: &str, path: &str, accept: &str) -> Answer {
        let answer = self.try_ask(method, path, accept).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:#}"))
    }

    async fn try_ask(&self, method: &str, path: &str, accept: &str) -> Result<Answer> {
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
        Ok(Answer {
            code,
            content_type: content_type.map_or_else(String::new, |(_, it)| it.to_owned()),
            body: body.to_owned(),
        })
    }

    /// Waits until it answers a path with a code.
    pub async fn answers(&self, path: &str, code: u16) -> Answer {
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

    /// Its metrics now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::read(&self.get("/metrics").await.body)
    }

    /// Waits until a metric has a value.
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

/// Metrics as they were scraped.
#[derive(Debug)]
pub struct Metrics(Vec<Sample>);

impl Metrics {
    /// Reads Prometheus' text format.
    pub fn read(text: &str) -> Self {
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let scrape = Scrape::parse(lines).unwrap_or_else(|error| panic!("{error}: {text}"));
        Self(scrape.samples)
    }

    /// The samples.
    pub fn samples(&self) -> &[Sample] {
        &self.0
    }

    /// The value of the series that has these labels, whatever others it has; of a histogram, the count is
    /// `NAME_count`.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &Sample| {
            labels
                .iter()
                .all(|(label, value)| sample.labels.get(label) == Some(value))
        };
        let mut samples = self.0.iter().filter(|sample| sample.metric == name);
        match samples.find(|sample| has(sample))?.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => Some(value),
            Value::Histogram(_) | Value::Summary(_) => None,
        }
    }
}
