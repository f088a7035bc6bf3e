use std::error::Error;

use handler_host_core::{Digest, one_line};
use oci_client::Reference;
use reqwest::header::ACCEPT;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;

use super::authorities::authorities;
use super::credentials::{Credentials, Who};
use super::manifest::Manifest;
use super::token::Authorization;
use crate::error::{causes, innermost_cause};
use crate::{Patience, RegistryProblem};

pub(crate) const USER_AGENT: &str = concat!("handler-host/", env!("CARGO_PKG_VERSION"));

/// The largest manifest that is read, as the specification of registries recommends.
const LARGEST_MANIFEST: u64 = 4 << 20;
/// How much of an error is read.
const LARGEST_ERROR: u64 = 16 << 10;
/// What a manifest may be; an index among them, to say that it is one.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A registry, asked for one repository by somebody.
///
/// `oci_client` reads manifests and tokens whole, however long they are; a registry must not fill this
/// host's memory, so what comes from one is read here, up to limits.
pub(crate) struct Session {
    pub(super) http: Client,
    registry: String,
    pub(super) repository: String,
    /// `https://host/v2`
    base: String,
    pub(super) credentials: Credentials,
    authorization: Authorization,
    pub(super) patience: Patience,
    pub(super) actions: &'static str,
}

impl Session {
    pub(crate) fn open(
        reference: &Reference,
        is_plain_http: bool,
        credentials: Credentials,
        patience: &Patience,
    ) -> Result<Self, RegistryProblem> {
        let scheme = if is_plain_http { "http" } else { "https" };
        let host = reference.resolve_registry();
        Ok(Self {
            http: http(is_plain_http, patience)?,
            registry: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            base: format!("{scheme}://{host}/v2"),
            credentials,
            authorization: Authorization::Nobody,
            patience: *patience,
            actions: "pull",
        })
    }

    /// Asks for leave to push, and says how requests are to show it.
    pub(crate) async fn authorize_push(&mut self) -> Result<Authorization, RegistryProblem> {
        self.actions = "pull,push";
        let url = format!("{}/", self.base);
        self.ask(Method::GET, &url, "*/*", "a greeting").await?;
        Ok(self.authorization.clone())
    }

    /// The digest of the manifest that a tag or digest names, if the registry tells it without the manifest.
    pub(crate) async fn manifest_digest(
        &mut self,
        name: &str,
    ) -> Result<Option<Digest>, RegistryProblem> {
        let url = self.url("manifests", name);
        let answer = self
            .ask(Method::HEAD, &url, MANIFESTS, "its manifest")
            .await?;
        let digest = answer.headers().get("docker-content-digest");
        Ok(digest.and_then(|digest| digest.to_str().ok()?.parse().ok()))
    }

    /// The manifest that a tag or digest names, and its digest.
    pub(crate) async fn manifest(
        &mut self,
        name: &str,
    ) -> Result<(Digest, Manifest), RegistryProblem> {
        let url = self.url("manifests", name);
        let answer = self
            .ask(Method::GET, &url, MANIFESTS, "its manifest")
            .await?;
        let bytes = self.body(answer, LARGEST_MANIFEST, "a manifest").await?;
        let found = Digest::of(&bytes);
        match name.parse::<Digest>() {
            Ok(expected) if expected != found => Err(RegistryProblem::Digest {
                what: "the manifest that the registry sends".to_owned(),
                expected,
                found,
            }),
            Ok(_) | Err(_) => Ok((found, Manifest::read(&bytes)?)),
        }
    }

    /// A part of the image that has this size; its digest is for the caller to check.
    pub(crate) async fn blob(
        &mut self,
        digest: Digest,
        size: u64,
    ) -> Result<Vec<u8>, RegistryProblem> {
        let url = self.url("blobs", &digest.to_string());
        let answer = self.ask(Method::GET, &url, "*/*", "its module").await?;
        self.body(answer, size, "its module").await
    }

    fn url(&self, what: &str, name: &str) -> String {
        format!("{}/{}/{what}/{name}", self.base, self.repository)
    }

    /// Asks, and a second time as somebody if the registry wants to know who it is.
    async fn ask(
        &mut self,
        method: Method,
        url: &str,
        accept: &str,
        what: &str,
    ) -> Result<Response, RegistryProblem> {
        let request = self.http.request(method, url).header(ACCEPT, accept);
        let again = request.try_clone();
        let mut answer = self.send(request).await?;
        if answer.status() == StatusCode::UNAUTHORIZED
            && let Some(again) = again
        {
            self.authorization = self.authorize(&answer).await?;
            answer = self.send(again).await?;
        }
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refusal()),
            StatusCode::NOT_FOUND => Err(RegistryProblem::Missing(self.words(answer).await)),
            status => Err(RegistryProblem::Answer {
                code: status.as_u16(),
                what: format!("the request for {what}"),
                message: self.words(answer).await,
            }),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, RegistryProblem> {
        let request = match &self.authorization {
            Authorization::Nobody => request,
            Authorization::Basic { name, password } => request.basic_auth(name, Some(password)),
            Authorization::Bearer(token) => request.bearer_auth(token),
        };
        let answer = request.send().await;
        answer.map_err(|error| problem_of(&error, &self.patience))
    }

    /// Why somebody, or nobody, is not let in.
    pub(crate) fn refusal(&self) -> RegistryProblem {
        let (registry, place) = (self.registry.clone(), self.credentials.place.clone());
        match self.credentials.who {
            Who::Nobody => RegistryProblem::NoCredentials { registry, place },
            Who::User { .. } | Who::Token(_) => {
                RegistryProblem::WrongCredentials { registry, place }
            }
        }
    }

    /// The body of an answer, up to a limit.
    pub(super) async fn body(
        &self,
        mut answer: Response,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, RegistryProblem> {
        let mut body = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| problem_of(&error, &self.patience))?
        {
            if body.len() as u64 + chunk.len() as u64 > limit {
                let what = what.to_owned();
                return Err(RegistryProblem::TooLong { what, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What a registry says of an error, in one line.
    pub(super) async fn words(&self, answer: Response) -> String {
        let status = answer.status();
        let body = self.body(answer, LARGEST_ERROR, "an error").await;
        words(&body.unwrap_or_default())
            .or_else(|| status.canonical_reason().map(str::to_owned))
            .unwrap_or_else(|| status.to_string())
    }
}

/// A client of registries. Those that speak TLS are never left for one that does not.
fn http(is_plain_http: bool, patience: &Patience) -> Result<Client, RegistryProblem> {
    install_tls();
    let authorities = authorities();
    let authorities = authorities
        .iter()
        .map(|authority| reqwest::Certificate::from_der(&authority.data));
    let build = || {
        Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(patience.connect)
            .read_timeout(patience.idle)
            .https_only(!is_plain_http)
            .tls_certs_merge(authorities.collect::<reqwest::Result<Vec<_>>>()?)
            .build()
    };
    build().map_err(|error| RegistryProblem::NoTls(innermost_cause(&error)))
}

/// Makes the TLS provider that kube uses the one of this process.
pub fn install_tls() {
    // Another one that is installed already serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What an error of the connection means.
pub(crate) fn problem_of(error: &reqwest::Error, patience: &Patience) -> RegistryProblem {
    if error.is_timeout() {
        return RegistryProblem::Silent(if error.is_connect() {
            patience.connect
        } else {
            patience.idle
        });
    }
    let tls = causes(error).find_map(<dyn Error>::downcast_ref::<rustls::Error>);
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => RegistryProblem::PlainHttp,
        Some(rustls::Error::InvalidCertificate(reason)) => {
            RegistryProblem::Certificate(reason.to_string())
        }
        Some(_) | None => RegistryProblem::Unreachable(innermost_cause(error)),
    }
}

/// The message of an error as registries write it, or its first line.
fn words(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice::<Errors>(body) {
        Ok(errors) => errors.errors.into_iter().next()?.told(),
        Err(_) => String::from_utf8_lossy(body).lines().next()?.to_owned(),
    };
    let line: String = one_line(&text).chars().take(200).collect();
    (!line.trim().is_empty()).then_some(line)
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    code: String,
    #[serde(default)]
    message: String,
}

impl OneError {
    fn told(self) -> String {
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
