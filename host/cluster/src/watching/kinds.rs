use handler_host_core::{
    Grant, GrantError, GrantRequest, Kind, RelatedGrant, Resource, Rule, Scope, rules,
};
use kube::Client;

use super::watched_kinds::missing_in_words;
use crate::api::{
    ApiError, NotServed, ServedKind, field_types, find, missing, served, served_if_at_all,
};

/// Why the kinds of a handler could not be found in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum KindsError {
    /// The kinds, as they are served, can never be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A kind is not served.
    #[error("{}", missing(.0))]
    NotServed(Kind),
    /// The API server refused a request that only reads.
    #[error("{action}: {message}; ask as somebody who may")]
    Refused {
        /// The request, for people.
        action: String,
        /// The answer of the API server.
        message: String,
    },
    /// The API server cannot answer.
    #[error("{action}: {message}; ask again when the API server answers")]
    Unavailable {
        /// The request, for people.
        action: String,
        /// The answer of the API server.
        message: String,
    },
}

/// The kinds of a handler as the cluster serves them, and the grant that they make.
#[derive(Clone)]
pub struct Kinds {
    pub(crate) grant: Grant,
    pub(crate) parents: ServedKind,
    pub(crate) children: Vec<ServedKind>,
    /// Those of the granted kinds of related objects that are served.
    pub(crate) related: Vec<ServedKind>,
    /// The granted kinds of children and of related objects that are not served.
    pub(crate) missing: Vec<Kind>,
}

impl Kinds {
    /// Waits until the API server serves the kind of the parents, however long that takes. `waits` gets the reason
    /// after each attempt that fails. Kinds of children and of related objects that are not served are missing from what is
    /// served, and take nothing away from the others.
    ///
    /// # Errors
    ///
    /// When the kinds, as they are served, can never be granted.
    pub async fn served(
        client: &Client,
        request: &GrantRequest,
        waits: impl Fn(&NotServed),
    ) -> Result<Self, GrantError> {
        let parents = served(client, &request.parent, &waits).await;
        let mut children = Vec::new();
        for kind in child_kinds(request) {
            children.extend(served_if_at_all(client, kind, &waits).await);
        }
        let mut related = Vec::new();
        for kind in related_kinds(request) {
            related.extend(served_if_at_all(client, kind, &waits).await);
        }
        Ok(Self::of(request, parents, children, related)?
            .with_field_types(client)
            .await)
    }

    /// The kinds as the API server serves them now. A kind of children or related objects that is not served is missing.
    ///
    /// # Errors
    ///
    /// When the kind of the parents is not served, or a kind can never be granted.
    pub async fn present(client: &Client, request: &GrantRequest) -> Result<Self, KindsError> {
        Self::find(client, request, true).await
    }

    /// The kinds as the API server serves them now. A kind that is not served is an error.
    ///
    /// # Errors
    ///
    /// When a kind is not served, or can never be granted.
    pub async fn now(client: &Client, request: &GrantRequest) -> Result<Self, KindsError> {
        Self::find(client, request, false).await
    }

    async fn find(
        client: &Client,
        request: &GrantRequest,
        may_lack: bool,
    ) -> Result<Self, KindsError> {
        let parents = find_served(client, &request.parent).await?;
        let children = find_all(client, child_kinds(request), may_lack).await?;
        let related = find_all(client, related_kinds(request), may_lack).await?;
        Ok(Self::of(request, parents, children, related)?
            .with_field_types(client)
            .await)
    }

    /// A guess how the kinds are served, without a cluster: by their usual plurals, namespaced, with a status.
    ///
    /// # Errors
    ///
    /// When they can never be granted.
    pub fn guessed(request: &GrantRequest) -> Result<Self, GrantError> {
        let parents = ServedKind::guessed(&request.parent);
        let children = child_kinds(request).map(ServedKind::guessed).collect();
        let related = related_kinds(request).into_iter();
        let related = related.map(ServedKind::guessed).collect();
        Self::of(request, parents, children, related)
    }

    fn of(
        request: &GrantRequest,
        parents: ServedKind,
        children: Vec<ServedKind>,
        related: Vec<ServedKind>,
    ) -> Result<Self, GrantError> {
        let find = |kind: &Kind| {
            let mut all = children.iter().chain(&related).chain([&parents]);
            all.find(|served| served.kind == *kind)
        };
        let scope = |kind: &Kind| find(kind).map_or(Scope::Namespaced, |served| served.scope);
        let mut missing: Vec<Kind> = Vec::new();
        for kind in child_kinds(request).chain(related_kinds(request)) {
            if find(kind).is_none() && !missing.contains(kind) {
                missing.push(kind.clone());
            }
        }
        Ok(Self {
            grant: request.grant_in(scope)?,
            missing,
            parents,
            children,
            related,
        })
    }

    /// Reads what the schema says about the fields of the children.
    async fn with_field_types(mut self, client: &Client) -> Self {
        let mut read = Vec::new();
        for child in &self.children {
            read.push((child.kind.clone(), field_types(client, &child.kind).await));
        }
        self.grant = self.grant.with_field_types(|kind| {
            let of_kind = read.iter().find(|(known, _)| known == kind);
            of_kind.map(|(_, types)| types.clone()).unwrap_or_default()
        });
        self
    }

    /// What is missing in the cluster; None if nothing is.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        missing_in_words(&self.missing)
    }

    /// What the handler may do.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The rights that serving the handler needs. `has_finalizer` says whether its parents get a finalizer.
    #[must_use]
    pub fn rules(&self, has_finalizer: bool) -> Vec<Rule> {
        rules_of(
            &self.grant,
            &self.parents,
            &self.children,
            &self.related,
            has_finalizer,
        )
    }
}

/// The granted kinds of children.
fn child_kinds(request: &GrantRequest) -> impl Iterator<Item = &Kind> {
    request.children.iter().map(|policy| &policy.kind)
}

/// The granted kinds of related objects, each once.
fn related_kinds(request: &GrantRequest) -> Vec<&Kind> {
    let mut kinds: Vec<&Kind> = Vec::new();
    for policy in &request.related {
        if !kinds.contains(&&policy.kind) {
            kinds.push(&policy.kind);
        }
    }
    kinds
}

pub(crate) fn rules_of<'a>(
    grant: &Grant,
    parents: &ServedKind,
    children: impl IntoIterator<Item = &'a ServedKind>,
    related: &[ServedKind],
    has_finalizer: bool,
) -> Vec<Rule> {
    let children = children.into_iter().map(ServedKind::resource_of_rights);
    let children: Vec<Resource> = children.collect();
    let granted = grant.related.iter().filter_map(|granted| {
        let served = related.iter().find(|it| it.kind == granted.policy.kind)?;
        Some((served.resource_of_rights(), granted))
    });
    let related: Vec<(Resource, &RelatedGrant)> = granted.collect();
    rules(
        grant,
        &parents.resource_of_rights(),
        &children,
        &related,
        has_finalizer,
    )
}

/// How kinds are served now, as far as they are; one that is not may be missing, or is an error.
async fn find_all(
    client: &Client,
    kinds: impl IntoIterator<Item = &Kind>,
    may_lack: bool,
) -> Result<Vec<ServedKind>, KindsError> {
    let mut all = Vec::new();
    for kind in kinds {
        match find_served(client, kind).await {
            Err(KindsError::NotServed(_)) if may_lack => {}
            found => all.push(found?),
        }
    }
    Ok(all)
}

/// How a kind is served now.
async fn find_served(client: &Client, kind: &Kind) -> Result<ServedKind, KindsError> {
    match find(client, kind).await {
        Ok(Some(served)) => Ok(served),
        Ok(None) => Err(KindsError::NotServed(kind.clone())),
        Err(error) => Err(KindsError::of(&error, format!("looking for {kind}"))),
    }
}

impl KindsError {
    fn of(error: &ApiError, action: String) -> Self {
        let message = error.to_string();
        if error.is_refusal() {
            Self::Refused { action, message }
        } else {
            Self::Unavailable { action, message }
        }
    }
}
