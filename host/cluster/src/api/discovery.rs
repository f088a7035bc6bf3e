use std::time::Duration;

use handler_host_core::{Backoff, Kind, Resource, Scope};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, discovery};

use super::error::{ApiError, answered, answered_in_turn};
use super::problem_log::ProblemLog;
use super::received::Received;

/// A kind as the API server serves it.
#[derive(Clone, Debug)]
pub(crate) struct ServedKind {
    pub(crate) kind: Kind,
    pub(crate) resource: ApiResource,
    pub(crate) scope: Scope,
    pub(crate) has_status: bool,
}

impl ServedKind {
    /// Requests for one object of this kind.
    pub(crate) fn api(&self, client: &Client, namespace: Option<&str>) -> Api<Received> {
        match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }

    /// As a kind is likely to be served.
    pub(crate) fn guessed(kind: &Kind) -> Self {
        let gvk = GroupVersionKind::gvk(kind.group(), kind.version(), &kind.kind);
        Self {
            kind: kind.clone(),
            resource: ApiResource::from_gvk(&gvk),
            scope: Scope::Namespaced,
            has_status: true,
        }
    }

    pub(crate) fn as_rights_name_it(&self) -> Resource {
        Resource {
            group: self.resource.group.clone(),
            plural: self.resource.plural.clone(),
            has_status: self.has_status,
        }
    }
}

/// What a kind is waited for that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// The API server answered, and will answer the same until somebody does something.
    Answered(String),
    /// It cannot answer.
    Unanswered(String),
}

impl NotServed {
    /// What is lacking, and what to do about it.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Answered(message) | Self::Unanswered(message) => message,
        }
    }
}

/// Waits until the API server serves a kind. Says once what it waits for, and tells `waits` each time.
pub(crate) async fn served(client: &Client, kind: &Kind, waits: impl Fn(&NotServed)) -> ServedKind {
    let trouble = ProblemLog::at(format!("waiting for {kind}"));
    let mut attempts = 0;
    loop {
        match discover(client, kind).await {
            Ok(served) => {
                trouble.is_over();
                return served;
            }
            Err(lack) => {
                trouble.met(&lack.message());
                waits(&lack);
            }
        }
        attempts += 1;
        // A CRD is applied by somebody who then looks at the result: half a minute would be long.
        let delay = Backoff::default().delay(attempts, fastrand::f64());
        tokio::time::sleep(delay.min(Duration::from_secs(5))).await;
    }
}

async fn discover(client: &Client, kind: &Kind) -> Result<ServedKind, NotServed> {
    match answered(ask(client, kind)).await {
        Ok(Some(served)) => Ok(served),
        Ok(None) | Err(ApiError::NotFound(_)) => Err(NotServed::Answered(missing(kind))),
        Err(refusal @ ApiError::Rejected(_)) => Err(NotServed::Answered(refusal.to_string())),
        Err(refusal @ (ApiError::Conflict | ApiError::Unavailable(..))) => {
            Err(NotServed::Unanswered(refusal.to_string()))
        }
    }
}

/// What is to be done about a kind that is not served.
pub(crate) fn missing(kind: &Kind) -> String {
    format!("the API server does not serve {kind}; apply its CustomResourceDefinition")
}

/// How a kind is served now; None if it is not.
pub(crate) async fn find(client: &Client, kind: &Kind) -> Result<Option<ServedKind>, ApiError> {
    match answered_in_turn(|| ask(client, kind)).await {
        Err(ApiError::NotFound(_)) => Ok(None),
        found => found,
    }
}

/// Asks once; None if the kind's group and version are served but the kind is not.
async fn ask(client: &Client, kind: &Kind) -> kube::Result<Option<ServedKind>> {
    let gvk = GroupVersionKind::gvk(kind.group(), kind.version(), &kind.kind);
    let (resource, capabilities) = match discovery::pinned_kind(client, &gvk).await {
        Err(kube::Error::Discovery(_)) => return Ok(None),
        found => found?,
    };
    Ok(Some(ServedKind {
        kind: kind.clone(),
        scope: match capabilities.scope {
            discovery::Scope::Namespaced => Scope::Namespaced,
            discovery::Scope::Cluster => Scope::Cluster,
        },
        has_status: capabilities
            .subresources
            .iter()
            .any(|(subresource, _)| subresource.plural == "status"),
        resource,
    }))
}
