use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::credentials::{Credentials, RegistryLogin};
use super::destination::origin;
use super::transport::Transport;
use crate::RegistryProblem;

/// The largest answer with a token that is read.
const LARGEST_TOKEN: u64 = 1 << 20;

/// How a request shows who sends it.
pub(super) enum RequestAuthorization {
    Anonymous,
    Basic { name: String, password: String },
    Bearer(String),
}

impl RequestAuthorization {
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Anonymous => request,
            Self::Basic { name, password } => request.basic_auth(name, Some(password)),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }
}

#[derive(Deserialize, Default)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// What the registry asks for in an answer, in one of the ways that it offers. `scope` says what a token is to
/// allow, such as `repository:acme/evc:pull`.
pub(super) async fn authorize(
    transport: &Transport,
    credentials: &Credentials,
    scope: &str,
    answer: &Response,
) -> Result<RequestAuthorization, RegistryProblem> {
    let headers = answer.headers().get_all(WWW_AUTHENTICATE);
    for header in headers.iter().filter_map(|header| header.to_str().ok()) {
        for challenge in ChallengeParser::new(header).map_while(Result::ok) {
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let request = token_request(transport, credentials, scope, &challenge)?;
                let token = read_token(transport, credentials, request).await?;
                return Ok(RequestAuthorization::Bearer(token));
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                return match &credentials.login {
                    RegistryLogin::Password { name, password } => Ok(RequestAuthorization::Basic {
                        name: name.clone(),
                        password: password.clone(),
                    }),
                    RegistryLogin::Anonymous | RegistryLogin::IdentityToken(_) => {
                        Err(credentials.refusal())
                    }
                };
            }
        }
    }
    Err(RegistryProblem::Garbled {
        what: "how the registry wants credentials".to_owned(),
        reason: "it offers neither Basic nor Bearer".to_owned(),
    })
}

/// The request for a token, as <https://distribution.github.io/distribution/spec/auth/token/> and
/// <https://distribution.github.io/distribution/spec/auth/oauth/> describe it.
fn token_request(
    transport: &Transport,
    credentials: &Credentials,
    scope: &str,
    challenge: &ChallengeRef<'_>,
) -> Result<RequestBuilder, RegistryProblem> {
    let parameter = |name: &str| {
        let mut parameters = challenge.params.iter();
        let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let realm = parameter("realm").unwrap_or_default();
    let mut url = Url::parse(&realm).map_err(|error| {
        let realm: String = realm.chars().take(200).collect();
        RegistryProblem::Garbled {
            what: "where the registry gives tokens".to_owned(),
            reason: format!("{realm:?}: {error}"),
        }
    })?;
    transport.check(&url)?;
    let login = &credentials.login;
    match login {
        RegistryLogin::Anonymous => {}
        RegistryLogin::Password { .. } | RegistryLogin::IdentityToken(_) => {
            if !transport.may_get_credentials(&url) {
                return Err(credentials.withheld(origin(&url)));
            }
        }
    }
    let service = parameter("service").unwrap_or_default();
    let asked = [("service", service.as_str()), ("scope", scope)];
    if let RegistryLogin::IdentityToken(token) = login {
        // The query of a URL has the encoding of a form.
        let mut form = url.clone();
        form.query_pairs_mut()
            .clear()
            .extend_pairs([
                ("grant_type", "refresh_token"),
                ("client_id", "handler-host"),
                ("refresh_token", token.as_str()),
            ])
            .extend_pairs(asked);
        let form = form.query().unwrap_or_default().to_owned();
        let request = transport.request(Method::POST, url).body(form);
        return Ok(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded"));
    }
    url.query_pairs_mut().extend_pairs(asked);
    let request = transport.request(Method::GET, url);
    Ok(match login {
        RegistryLogin::Password { name, password } => request.basic_auth(name, Some(password)),
        RegistryLogin::Anonymous | RegistryLogin::IdentityToken(_) => request,
    })
}

async fn read_token(
    transport: &Transport,
    credentials: &Credentials,
    request: RequestBuilder,
) -> Result<String, RegistryProblem> {
    let answer = transport.send(request, transport.idle()).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(credentials.refusal()),
        status => {
            return Err(RegistryProblem::Answer {
                code: status.as_u16(),
                what: "the request for a token".to_owned(),
                message: transport.words(answer).await,
            });
        }
    }
    let bytes = transport.body(answer, LARGEST_TOKEN, "a token").await?;
    let token: TokenAnswer = serde_json::from_slice(&bytes).unwrap_or_default();
    let token = token.token.or(token.access_token);
    token.ok_or_else(|| RegistryProblem::Garbled {
        what: "the registry's token".to_owned(),
        reason: "its answer has neither `token` nor `access_token`".to_owned(),
    })
}
