use std::time::Duration;

use handler_host_core::{Backoff, Kind, Resource, Scope};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, discovery};

use super::error::{ApiError, answered, answered_with_retries};
use super::problem_log::ProblemLog;
use super::received::Received;

/// A kind as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServedKind {
    pub(crate) kind: Kind,
    pub(crate) resource: ApiResource,
    pub(crate) scope: Scope,
    pub(crate) has_status: bool,
}

impl ServedKind {
    /// Requests for objects of this kind, in a namespace or in all.
    pub(crate) fn api(&self, client: &Client, namespace: Option<&str>) -> Api<Received> {
        match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }

    /// A guess how a kind is served: by its usual plural, namespaced, with a status.
    pub(crate) fn guessed(kind: &Kind) -> Self {
        let gvk = GroupVersionKind::gvk(kind.group(), kind.version(), &kind.kind);
        Self {
            kind: kind.clone(),
            resource: ApiResource::from_gvk(&gvk),
            scope: Scope::Namespaced,
            has_status: true,
        }
    }

    /// The kind Namespace, which every API server serves alike.
    pub(crate) fn namespaces() -> Self {
        let gvk = GroupVersionKind::gvk("", "v1", "Namespace");
        Self {
            kind: Kind {
                api_version: gvk.version.clone(),
                kind: gvk.kind.clone(),
            },
            resource: ApiResource::from_gvk(&gvk),
            scope: Scope::Cluster,
            has_status: true,
        }
    }

    pub(crate) fn resource_of_rights(&self) -> Resource {
        Resource {
            group: self.resource.group.clone(),
            plural: self.resource.plural.clone(),
            has_status: self.has_status,
        }
    }
}

/// Why a kind is not served yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// The API server answered, with this message. It answers the same until somebody applies a definition or grants
    /// a right.
    Answered(String),
    /// The API server cannot answer, for this reason.
    Unanswered(String),
}

impl NotServed {
    /// What is missing, and what to do about it.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Answered(message) | Self::Unanswered(message) => message,
        }
    }
}

/// Waits until the API server serves a kind. The reason is logged once; `waits` gets it after each attempt.
pub(crate) async fn served(client: &Client, kind: &Kind, waits: impl Fn(&NotServed)) -> ServedKind {
    let problems = ProblemLog::of(format!("waiting for {kind}"));
    loop {
        if let Some(served) = look_for(client, kind, &problems, &waits, |_| false).await {
            return served;
        }
    }
}

/// How a kind is served, as soon as the API server answers; None if it is not.
pub(crate) async fn served_if_at_all(
    client: &Client,
    kind: &Kind,
    waits: impl Fn(&NotServed),
) -> Option<ServedKind> {
    let problems = ProblemLog::of(format!("looking for {kind}"));
    let is_answer = |lack: &NotServed| matches!(lack, NotServed::Answered(_));
    look_for(client, kind, &problems, &waits, is_answer).await
}

/// Looks for a kind again and again, until it is served, or `ends` says of what is missing that it need not wait.
async fn look_for(
    client: &Client,
    kind: &Kind,
    problems: &ProblemLog,
    waits: &impl Fn(&NotServed),
    ends: impl Fn(&NotServed) -> bool,
) -> Option<ServedKind> {
    let mut attempts = 0;
    loop {
        match discover(client, kind).await {
            Ok(served) => {
                problems.resolve();
                return Some(served);
            }
            Err(lack) if ends(&lack) => return None,
            Err(lack) => {
                problems.report(&lack.message());
                waits(&lack);
            }
        }
        attempts += 1;
        // A user applies a CRD and then looks at the result, so the wait is short.
        let delay = Backoff::default().delay(attempts, fastrand::f64());
        tokio::time::sleep(delay.min(Duration::from_secs(5))).await;
    }
}

async fn discover(client: &Client, kind: &Kind) -> Result<ServedKind, NotServed> {
    match answered(ask(client, kind)).await {
        Ok(Some(served)) => Ok(served),
        Ok(None) | Err(ApiError::NotFound(_)) => Err(NotServed::Answered(missing(kind))),
        Err(error @ (ApiError::Rejected(_) | ApiError::Terminating(_))) => {
            Err(NotServed::Answered(error.to_string()))
        }
        Err(error @ (ApiError::Conflict | ApiError::Failed(_) | ApiError::Unavailable(..))) => {
            Err(NotServed::Unanswered(error.to_string()))
        }
    }
}

/// The message about a kind that is not served.
pub(crate) fn missing(kind: &Kind) -> String {
    format!("the API server does not serve {kind}; apply its CustomResourceDefinition")
}

/// How a kind is served now; None if it is not.
pub(crate) async fn find(client: &Client, kind: &Kind) -> Result<Option<ServedKind>, ApiError> {
    match answered_with_retries(|| ask(client, kind)).await {
        Err(ApiError::NotFound(_)) => Ok(None),
        found => found,
    }
}

/// Asks the API server once. None if the kind's group and version are served but the kind is not.
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
