use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handler_host_core::{Proxies, one_line};
use reqwest::header::{AUTHORIZATION, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, IntoUrl, Method, Proxy, Request, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::timeout;

use super::authorities::authorities;
use super::destination::{CheckedResolver, Destinations};
use crate::error::{causes, innermost_cause};
use crate::{Patience, RegistryProblem};

const USER_AGENT: &str = concat!("handler-host/", env!("CARGO_PKG_VERSION"));

/// How many bytes of an error are read.
const LARGEST_ERROR: u64 = 16 << 10;

/// How many redirects in a row are followed.
const MOST_REDIRECTS: usize = 3;

/// HTTP with bounds: on the time until an answer begins, on the time between two parts of a body, on the length of a body,
/// and on where a request may go. A registry is a foreign server, and must neither hang this host, nor fill its memory, nor
/// send it elsewhere.
pub(super) struct Transport {
    client: Client,
    patience: Patience,
    destinations: Arc<Destinations>,
}

impl Transport {
    /// For a registry at this URL.
    pub(super) fn new(
        registry: Url,
        is_plain_http: bool,
        patience: &Patience,
    ) -> Result<Self, RegistryProblem> {
        install_tls();
        let destinations = Arc::new(Destinations::of(registry, is_plain_http));
        let build = || {
            Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(patience.connect)
                .https_only(!is_plain_http)
                // They are followed in `send`, which knows what may follow.
                .redirect(Policy::none())
                .dns_resolver(CheckedResolver(destinations.clone()))
                .no_proxy()
                .proxy(Proxy::custom(proxy_for))
                .tls_certs_merge(authorities()?)
                .build()
        };
        let client = build().map_err(|error| RegistryProblem::NoTls(innermost_cause(&error)))?;
        Ok(Self {
            client,
            patience: *patience,
            destinations,
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

    /// Refuses a URL to which no request may go.
    pub(super) fn check(&self, url: &Url) -> Result<(), RegistryProblem> {
        self.destinations.check(url)
    }

    /// Whether a URL leads to the registry itself.
    pub(super) fn is_registry(&self, url: &Url) -> bool {
        self.destinations.is_registry(url)
    }

    /// Whether the credentials for the registry may go to the place where it gives tokens.
    pub(super) fn may_get_credentials(&self, realm: &Url) -> bool {
        self.destinations.may_get_credentials(realm)
    }

    /// Sends a request, and waits so long for its answer to begin. A redirect is followed where that repeats nothing and
    /// sends no body, and to where a request may go. What shows who sends the request stays with the server it is for.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        wait: Duration,
    ) -> Result<Response, RegistryProblem> {
        let built = request.build();
        let mut request = built.map_err(|error| self.problem_of(&error))?;
        for _ in 0..=MOST_REDIRECTS {
            self.check(request.url())?;
            let is_repeatable = [Method::GET, Method::HEAD].contains(request.method());
            let again = request.try_clone().filter(|_| is_repeatable);
            let answer = match timeout(wait, self.client.execute(request)).await {
                Ok(answer) => answer.map_err(|error| self.problem_of(&error))?,
                Err(_) => return Err(RegistryProblem::Silent(wait)),
            };
            let (Some(again), Some(place)) = (again, redirect(&answer)?) else {
                return Ok(answer);
            };
            request = redirected(again, place);
        }
        Err(RegistryProblem::Redirects(MOST_REDIRECTS))
    }

    /// The body of an answer in parts, which together have at most so many bytes.
    pub(super) fn parts<'a>(
        &'a self,
        answer: Response,
        limit: u64,
        what: &'a str,
    ) -> Result<Parts<'a>, RegistryProblem> {
        let parts = Parts {
            transport: self,
            left: limit,
            limit,
            what,
            answer,
        };
        match parts.answer.content_length() {
            Some(told) if told > limit => Err(parts.too_long()),
            Some(_) | None => Ok(parts),
        }
    }

    /// The body of an answer, up to a limit.
    pub(super) async fn body(
        &self,
        answer: Response,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, RegistryProblem> {
        let mut parts = self.parts(answer, limit, what)?;
        let mut body = Vec::new();
        while let Some(part) = parts.next().await? {
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// What a registry says about an error, in one line. The words of another server are not told: it may be one that
    /// whoever reads them must not reach.
    pub(super) async fn words(&self, answer: Response) -> String {
        let status = answer.status();
        let told = match self.is_registry(answer.url()) {
            true => {
                let body = self.body(answer, LARGEST_ERROR, "an error").await;
                words(&body.unwrap_or_default())
            }
            false => None,
        };
        told.or_else(|| status.canonical_reason().map(str::to_owned))
            .unwrap_or_else(|| status.to_string())
    }

    /// What an error of the connection means.
    fn problem_of(&self, error: &reqwest::Error) -> RegistryProblem {
        if error.is_timeout() {
            return RegistryProblem::Silent(self.patience.connect);
        }
        if let Some(problem) = causes(error).find_map(<dyn Error>::downcast_ref::<RegistryProblem>)
        {
            return problem.clone();
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

/// The body of an answer, in parts.
pub(super) struct Parts<'a> {
    transport: &'a Transport,
    answer: Response,
    /// How many bytes may still come.
    left: u64,
    limit: u64,
    what: &'a str,
}

impl Parts<'_> {
    /// The next part; None at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RegistryProblem> {
        let idle = self.transport.patience.idle;
        let part = match timeout(idle, self.answer.chunk()).await {
            Ok(Ok(part)) => part,
            Ok(Err(error)) => return Err(self.transport.problem_of(&error)),
            Err(_) => return Err(RegistryProblem::Silent(idle)),
        };
        let length = part.as_ref().map_or(0, Bytes::len) as u64;
        let left = self.left.checked_sub(length);
        self.left = left.ok_or_else(|| self.too_long())?;
        Ok(part)
    }

    fn too_long(&self) -> RegistryProblem {
        RegistryProblem::TooLong {
            what: self.what.to_owned(),
            limit: self.limit,
        }
    }
}

/// Where an answer redirects to, if it does.
fn redirect(answer: &Response) -> Result<Option<Url>, RegistryProblem> {
    let is_redirect = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ]
    .contains(&answer.status());
    let Some(place) = answer.headers().get(LOCATION).filter(|_| is_redirect) else {
        return Ok(None);
    };
    let place = place.to_str().ok();
    let place = place.and_then(|place| answer.url().join(place).ok());
    match place {
        Some(place) => Ok(Some(place)),
        None => Err(RegistryProblem::Garbled {
            what: "where the registry redirects to".to_owned(),
            reason: "it is no URL".to_owned(),
        }),
    }
}

/// The same request to another place.
fn redirected(mut request: Request, place: Url) -> Request {
    if request.url().origin() != place.origin() {
        request.headers_mut().remove(AUTHORIZATION);
    }
    *request.url_mut() = place;
    request
}

/// The proxy for a request, by the same rules as for the API server.
fn proxy_for(url: &Url) -> Option<Url> {
    let proxies = proxies();
    let is_tls = url.scheme() == "https";
    let port = url.port_or_known_default()?;
    proxies
        .proxy_for(is_tls, url.host_str()?, port)?
        .parse()
        .ok()
}

/// The hosts of the proxies that the environment names.
pub(super) fn proxy_hosts() -> Vec<String> {
    let proxies = proxies();
    let urls = proxies.urls().filter_map(|url| Url::parse(url).ok());
    urls.filter_map(|url| url.host_str().map(str::to_owned))
        .collect()
}

fn proxies() -> Proxies {
    Proxies::of(|name| std::env::var(name).ok())
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

/// The message of an error in the form that the specification of registries gives it; None in any other form, since then it
/// may be an answer of another kind of server.
fn words(body: &[u8]) -> Option<String> {
    let told: RegistryErrors = serde_json::from_slice(body).ok()?;
    let text = told.errors.into_iter().next()?.message();
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
    #[case::html("<html>\n<body>", None)]
    #[case::text("password: secret", None)]
    #[case::other_json(r#"{"secret": "a"}"#, None)]
    #[case::a_message_alone(r#"{"errors": [{"message": "secret"}]}"#, None)]
    #[case::control_characters(
        r#"{"errors": [{"code": "A", "message": "\u001b[31mred\nb"}]}"#,
        Some("\\u{1b}[31mred\\nb")
    )]
    #[case::nothing("", None)]
    fn an_error_of_a_registry_is_one_line(#[case] body: &str, #[case] told: Option<&str>) {
        assert_eq!(words(body.as_bytes()).as_deref(), told);
    }
}
