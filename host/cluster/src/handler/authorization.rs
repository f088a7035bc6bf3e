use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use handler_host_core::{Account, Right};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::api::{ApiClients, ApiError, ProblemLog, answered};

/// The least time between two reviews, and the time after which a missing right is reviewed again.
const AGAIN: Duration = Duration::from_secs(10);
/// The time after which rights are reviewed although no request was refused. A watch that is open goes on
/// without its right.
const SELDOM: Duration = Duration::from_secs(300);
/// How many reviews are requested at a time.
const AT_A_TIME: usize = 8;

/// Whether a handler's account has the rights that serving the handler needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The host's name as a user of the API server.
    pub host: String,
    /// What is missing.
    pub lack: Lack,
}

/// What an account lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Nothing.
    Nothing,
    /// The handler's account lacks these rights.
    Rights(Vec<Right>),
    /// The host may not impersonate the handler's account.
    Impersonation,
}

/// A review of rights that goes on until this is dropped.
pub struct Review {
    rights: Vec<Right>,
    results: watch::Receiver<Option<Authorization>>,
    task: JoinHandle<()>,
}

impl Review {
    /// Starts to review whether the handler's account, or without one the host's, has these rights: at once, every ten
    /// seconds while some are missing, soon after `refused` was notified of a refused request, and every five
    /// minutes otherwise.
    #[must_use]
    pub fn start(
        clients: ApiClients,
        account: Option<Account>,
        rights: Vec<Right>,
        refused: Arc<Notify>,
    ) -> Self {
        let (sender, results) = watch::channel(None);
        let reviewer = Reviewer {
            clients,
            account,
            rights: rights.clone(),
        };
        Self {
            rights,
            results,
            task: tokio::spawn(reviewer.run(sender, refused)),
        }
    }

    /// The rights that are reviewed.
    #[must_use]
    pub fn rights(&self) -> &[Right] {
        &self.rights
    }

    /// Waits until a review gives another result than the one before.
    pub async fn next(&mut self) -> Option<Authorization> {
        if self.results.changed().await.is_err() {
            // The task ends only by a panic. The handler is served without reviews then.
            return std::future::pending().await;
        }
        self.results.borrow_and_update().clone()
    }
}

impl Drop for Review {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reviewer {
    clients: ApiClients,
    account: Option<Account>,
    rights: Vec<Right>,
}

impl Reviewer {
    async fn run(self, results: watch::Sender<Option<Authorization>>, refused: Arc<Notify>) {
        let who = self.account.as_ref().map_or_else(
            || "the host's account".to_owned(),
            |account| account.to_string(),
        );
        let problems = ProblemLog::of(format!("asking what {who} may do"));
        let mut missing: Vec<Right> = Vec::new();
        loop {
            let asked = if missing.is_empty() {
                &self.rights
            } else {
                &missing
            };
            let is_whole = missing.is_empty();
            let is_granted = match self.review(asked).await {
                // Only the missing rights were reviewed. The others may be gone by now.
                Ok(authorization) if authorization.lack == Lack::Nothing && !is_whole => {
                    missing.clear();
                    continue;
                }
                Ok(authorization) => {
                    problems.resolve();
                    missing = match &authorization.lack {
                        Lack::Rights(rights) => rights.clone(),
                        Lack::Nothing | Lack::Impersonation => Vec::new(),
                    };
                    let is_granted = authorization.lack == Lack::Nothing;
                    results.send_if_modified(|last| {
                        let is_news = last.as_ref() != Some(&authorization);
                        *last = Some(authorization);
                        is_news
                    });
                    is_granted
                }
                Err(error) => {
                    problems.report(&error);
                    false
                }
            };
            tokio::time::sleep(AGAIN).await;
            if is_granted {
                tokio::select! {
                    () = refused.notified() => {}
                    () = tokio::time::sleep(SELDOM) => {}
                }
            }
        }
    }

    async fn review(&self, rights: &[Right]) -> Result<Authorization, ApiError> {
        let host = user(&self.clients.host).await?;
        let questions = rights.iter().cloned().map(|right| async move {
            let is_allowed = is_allowed(&self.clients.handler, &right).await?;
            Ok((!is_allowed).then_some(right))
        });
        let answers = futures::stream::iter(questions).buffered(AT_A_TIME);
        let lack = match answers.try_collect::<Vec<_>>().await {
            Ok(answers) => {
                let missing: Vec<Right> = answers.into_iter().flatten().collect();
                if missing.is_empty() {
                    Lack::Nothing
                } else {
                    Lack::Rights(missing)
                }
            }
            // Every user may review its own rights. An error means that the host may not impersonate the account.
            Err(ApiError::Rejected(_)) if self.account.is_some() => Lack::Impersonation,
            Err(error) => return Err(error),
        };
        Ok(Authorization { host, lack })
    }
}

async fn is_allowed(client: &Client, right: &Right) -> Result<bool, ApiError> {
    let attributes = ResourceAttributes {
        verb: Some(right.verb.as_str().to_owned()),
        group: Some(right.group.clone()),
        resource: Some(right.plural.clone()),
        subresource: right.subresource.map(str::to_owned),
        namespace: right.namespace.clone(),
        name: right.name.clone(),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let reviewed = answered(api.create(&PostParams::default(), &review)).await?;
    Ok(reviewed.status.is_some_and(|status| status.allowed))
}

/// The user name of a client.
async fn user(client: &Client) -> Result<String, ApiError> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = SelfSubjectReview::default();
    let reviewed = answered(api.create(&PostParams::default(), &review)).await?;
    let user = reviewed.status.and_then(|status| status.user_info);
    Ok(user.and_then(|user| user.username).unwrap_or_default())
}
