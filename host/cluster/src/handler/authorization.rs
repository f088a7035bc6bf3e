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

/// The least time between two reviews, and how long a missing right is waited for.
const AGAIN: Duration = Duration::from_secs(10);
/// After what time a review is made though nothing was refused: what was begun goes on without the right.
const RARELY: Duration = Duration::from_secs(300);
/// Questions asked at a time.
const AT_A_TIME: usize = 8;

/// Whether a handler's account may do what serving takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The host as a user of the API server.
    pub host: String,
    /// What of it is wanting.
    pub lack: Lack,
}

/// What is wanting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Nothing.
    Nothing,
    /// These rights, for the handler's account.
    Rights(Vec<Right>),
    /// The host may not act in the name of the handler's account.
    Impersonation,
}

/// A review of rights that goes on until this is dropped.
pub struct Review {
    rights: Vec<Right>,
    told: watch::Receiver<Option<Authorization>>,
    task: JoinHandle<()>,
}

impl Review {
    /// Looks whether the handler's account, or without one the host's, has these rights: at once, soon after
    /// `refused` was told of a request that was refused, while some are missing, and rarely otherwise.
    #[must_use]
    pub fn start(
        clients: ApiClients,
        account: Option<Account>,
        rights: Vec<Right>,
        refused: Arc<Notify>,
    ) -> Self {
        let (tell, told) = watch::channel(None);
        let reviewer = Reviewer {
            clients,
            account,
            rights: rights.clone(),
        };
        Self {
            rights,
            told,
            task: tokio::spawn(reviewer.run(tell, refused)),
        }
    }

    /// The rights that it is about.
    #[must_use]
    pub fn rights(&self) -> &[Right] {
        &self.rights
    }

    /// Waits until something else was found out.
    pub async fn next(&mut self) -> Option<Authorization> {
        if self.told.changed().await.is_err() {
            // The task ends only when it panics; its handler goes on without it.
            return std::future::pending().await;
        }
        self.told.borrow_and_update().clone()
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
    async fn run(self, tell: watch::Sender<Option<Authorization>>, refused: Arc<Notify>) {
        let who = self.account.as_ref().map_or_else(
            || "the host's account".to_owned(),
            |account| account.to_string(),
        );
        let problems = ProblemLog::at(format!("asking what {who} may do"));
        let mut missing: Vec<Right> = Vec::new();
        loop {
            let asked = if missing.is_empty() {
                &self.rights
            } else {
                &missing
            };
            let is_whole = missing.is_empty();
            let is_granted = match self.review(asked).await {
                // What was there before may have gone meanwhile.
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
                    tell.send_if_modified(|told| {
                        let is_news = told.as_ref() != Some(&authorization);
                        *told = Some(authorization);
                        is_news
                    });
                    is_granted
                }
                Err(refusal) => {
                    problems.report(&refusal);
                    false
                }
            };
            tokio::time::sleep(AGAIN).await;
            if is_granted {
                tokio::select! {
                    () = refused.notified() => {}
                    () = tokio::time::sleep(RARELY) => {}
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
            // Everybody may ask what they may; who may not ask may not be who they act as.
            Err(ApiError::Rejected(_)) if self.account.is_some() => Lack::Impersonation,
            Err(refusal) => return Err(refusal),
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

/// Who a client is.
async fn user(client: &Client) -> Result<String, ApiError> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = SelfSubjectReview::default();
    let reviewed = answered(api.create(&PostParams::default(), &review)).await?;
    let user = reviewed.status.and_then(|status| status.user_info);
    Ok(user.and_then(|user| user.username).unwrap_or_default())
}
