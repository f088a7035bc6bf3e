use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::client::{Session, problem_of};
use super::credentials::Who;
use crate::RegistryProblem;

/// The largest token that is read, with what stands around it.
const LARGEST_TOKEN: u64 = 1 << 20;

/// What a request says of who asks.
#[derive(Clone)]
pub(crate) enum Authorization {
    Nobody,
    Basic { name: String, password: String },
    Bearer(String),
}

#[derive(Deserialize, Default)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Session {
    /// What the registry asks for, in one of the ways it offers.
    pub(super) async fn authorize(
        &self,
        answer: &Response,
    ) -> Result<Authorization, RegistryProblem> {
        let headers = answer.headers().get_all(WWW_AUTHENTICATE);
        for header in headers.iter().filter_map(|header| header.to_str().ok()) {
            for challenge in ChallengeParser::new(header).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    return self.token(&challenge).await.map(Authorization::Bearer);
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    return match &self.credentials.who {
                        Who::User { name, password } => Ok(Authorization::Basic {
                            name: name.clone(),
                            password: password.clone(),
                        }),
                        Who::Nobody | Who::Token(_) => Err(self.refusal()),
                    };
                }
            }
        }
        Err(RegistryProblem::Garbled {
            what: "how the registry wants credentials".to_owned(),
            reason: "it offers neither Basic nor Bearer".to_owned(),
        })
    }

    /// A token from where the registry says, <https://distribution.github.io/distribution/spec/auth/token/>.
    async fn token(&self, challenge: &ChallengeRef<'_>) -> Result<String, RegistryProblem> {
        let garbled = |reason: String| RegistryProblem::Garbled {
            what: "where the registry gives tokens".to_owned(),
            reason,
        };
        let parameter = |name: &str| {
            let mut parameters = challenge.params.iter();
            let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let realm = parameter("realm").unwrap_or_default();
        let mut url = Url::parse(&realm).map_err(|error| garbled(format!("{realm:?}: {error}")))?;
        let scope = format!("repository:{}:{}", self.repository, self.actions);
        let service = parameter("service").unwrap_or_default();
        let request = match &self.credentials.who {
            Who::Token(token) => {
                // A URL's query is written as a form is.
                let mut form = url.clone();
                form.query_pairs_mut().clear().extend_pairs([
                    ("grant_type", "refresh_token"),
                    ("client_id", "handler-host"),
                    ("refresh_token", token.as_str()),
                    ("service", service.as_str()),
                    ("scope", scope.as_str()),
                ]);
                let form = form.query().unwrap_or_default().to_owned();
                let request = self.http.post(url).body(form);
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            }
            Who::Nobody | Who::User { .. } => {
                let pairs = [("service", service.as_str()), ("scope", scope.as_str())];
                url.query_pairs_mut().extend_pairs(pairs);
                match &self.credentials.who {
                    Who::User { name, password } => {
                        self.http.get(url).basic_auth(name, Some(password))
                    }
                    Who::Nobody | Who::Token(_) => self.http.get(url),
                }
            }
        };
        self.read_token(request).await
    }

    async fn read_token(&self, request: RequestBuilder) -> Result<String, RegistryProblem> {
        let answer = request.send().await;
        let answer = answer.map_err(|error| problem_of(&error, &self.patience))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.refusal()),
            status => {
                return Err(RegistryProblem::Answer {
                    code: status.as_u16(),
                    what: "the request for a token".to_owned(),
                    message: self.words(answer).await,
                });
            }
        }
        let bytes = self.body(answer, LARGEST_TOKEN, "a token").await?;
        let token: Token = serde_json::from_slice(&bytes).unwrap_or_default();
        let token = token.token.or(token.access_token);
        token.ok_or_else(|| RegistryProblem::Garbled {
            what: "the registry's token".to_owned(),
            reason: "its answer has neither `token` nor `access_token`".to_owned(),
        })
    }
}
