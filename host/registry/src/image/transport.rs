use std::error::Error;
use std::time::Duration;

use handler_host_core::{Proxies, one_line};
use reqwest::{Client, IntoUrl, Method, Proxy, RequestBuilder, Response, Url};
use serde::Deserialize;
use tokio::time::timeout;

use super::authorities::authorities;
use crate::error::{causes, innermost_cause};
use crate::{Patience, RegistryProblem};

const USER_AGENT: &str = concat!("handler-host/", env!("CARGO_PKG_VERSION"));

/// How many bytes of an error are read.
const LARGEST_ERROR: u64 = 16 << 10;

/// HTTP with bounds: on the time until an answer begins, on the time between two parts of a body, and on the
/// length of a body. A registry is a foreign server, and must neither hang this host nor fill its memory.
pub(super) struct Transport {
    client: Client,
    patience: Patience,
}

impl Transport {
    /// If it speaks TLS, it never follows a redirect to a server that does not.
    pub(super) fn new(is_plain_http: bool, patience: &Patience) -> Result<Self, RegistryProblem> {
        install_tls();
        let build = || {
            Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(patience.connect)
                .https_only(!is_plain_http)
                .no_proxy()
                .proxy(Proxy::custom(proxy_for))
                .tls_certs_merge(authorities()?)
                .build()
        };
        let client = build().map_err(|error| RegistryProblem::NoTls(innermost_cause(&error)))?;
        Ok(Self {
            client,
            patience: *patience,
        })
    }

    pub(super) fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// How long a registry may be silent.
    pub(super) fn idle(&self) -> Duration {
        self.patience.idle
    }

    /// How long the answer to an upload may take. It begins only when all bytes were sent, so this is four times
    /// the usual, and the usual once more for each MiB.
    pub(super) fn upload_time(&self, bytes: usize) -> Duration {
        let mebibytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        self.patience
            .idle
            .saturating_mul(4_u32.saturating_add(mebibytes))
    }

    /// Sends a request, and waits so long for its answer to begin.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        wait: Duration,
    ) -> Result<Response, RegistryProblem> {
        match timeout(wait, request.send()).await {
            Ok(answer) => answer.map_err(|error| self.problem_of(&error)),
            Err(_) => Err(RegistryProblem::Silent(wait)),
        }
    }

    /// The body of an answer, up to a limit.
    pub(super) async fn body(
        &self,
        mut answer: Response,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, RegistryProblem> {
        let idle = self.patience.idle;
        let mut body = Vec::new();
        loop {
            let chunk = match timeout(idle, answer.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(body),
                Ok(Err(error)) => return Err(self.problem_of(&error)),
                Err(_) => return Err(RegistryProblem::Silent(idle)),
            };
            if body.len() as u64 + chunk.len() as u64 > limit {
                let what = what.to_owned();
                return Err(RegistryProblem::TooLong { what, limit });
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// What a registry says about an error, in one line.
    pub(super) async fn words(&self, answer: Response) -> String {
        let status = answer.status();
        let body = self.body(answer, LARGEST_ERROR, "an error").await;
        words(&body.unwrap_or_default())
            .or_else(|| status.canonical_reason().map(str::to_owned))
            .unwrap_or_else(|| status.to_string())
    }

    /// What an error of the connection means.
    fn problem_of(&self, error: &reqwest::Error) -> RegistryProblem {
        if error.is_timeout() {
            return RegistryProblem::Silent(self.patience.connect);
        }
        let tls = causes(error).find_map(<dyn Error>::downcast_ref::<rustls::Error>);
        match tls {
            Some(rustls::Error::InvalidMessage(_)) => RegistryProblem::PlainHttp,
            Some(rustls::Error::InvalidCertificate(reason)) => {
                RegistryProblem::Certificate(reason.to_string())
            }
            Some(_) | None => {
                let cause = innermost_cause(error);
                RegistryProblem::Unreachable(cause + &through_proxy(error))
            }
        }
    }
}

/// The proxy for a request, by the same rules as for the API server.
fn proxy_for(url: &Url) -> Option<Url> {
    let proxies = Proxies::of(|name| std::env::var(name).ok());
    let is_tls = url.scheme() == "https";
    let port = url.port_or_known_default()?;
    proxies
        .proxy_for(is_tls, url.host_str()?, port)?
        .parse()
        .ok()
}

/// The proxy of a request that failed, for people; empty if there is none.
fn through_proxy(error: &reqwest::Error) -> String {
    let proxy = error.url().and_then(proxy_for);
    proxy.map_or_else(String::new, |proxy| {
        let host = proxy.host_str().unwrap_or_default();
        let port = proxy
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        format!(" (through the proxy {host}{port})")
    })
}

/// Makes the TLS provider that kube uses the one of this process.
pub fn install_tls() {
    // A provider that is installed already serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The message of an error in the form that registries use, or else the first line of the body.
fn words(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice::<RegistryErrors>(body) {
        Ok(errors) => errors.errors.into_iter().next()?.message(),
        Err(_) => String::from_utf8_lossy(body).lines().next()?.to_owned(),
    };
    let line: String = one_line(&text).chars().take(200).collect();
    (!line.trim().is_empty()).then_some(line)
}

#[derive(Deserialize)]
struct RegistryErrors {
    errors: Vec<RegistryError>,
}

#[derive(Deserialize)]
struct RegistryError {
    code: String,
    #[serde(default)]
    message: String,
}

impl RegistryError {
    fn message(self) -> String {
        match self.message.is_empty() {
            true => self.code,
            false => self.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::by_the_book(
        r#"{"errors": [{"code": "DENIED", "message": "not yours"}]}"#,
        Some("not yours")
    )]
    #[case::code_only(r#"{"errors": [{"code": "DENIED"}]}"#, Some("DENIED"))]
    #[case::no_errors(r#"{"errors": []}"#, None)]
    #[case::html("<html>\n<body>", Some("<html>"))]
    #[case::control_characters("\u{1b}[31mred", Some("\\u{1b}[31mred"))]
    #[case::nothing("", None)]
    fn an_error_of_a_registry_is_one_line(#[case] body: &str, #[case] told: Option<&str>) {
        assert_eq!(words(body.as_bytes()).as_deref(), told);
    }
}
