use std::collections::BTreeSet;

use handler_host_core::{Object, RelatedScope, Scope};
use kube::Client;
use kube::api::ListParams;

use super::error::PreviewError;
use crate::api::{Received, ServedKind, list_pages};

/// Lists the objects of a kind, in these namespaces, or in all if there are none.
pub(super) async fn list(
    client: &Client,
    served: &ServedKind,
    namespaces: &[String],
    labels: &str,
) -> Result<Vec<Object>, PreviewError> {
    let namespaces: BTreeSet<_> = namespaces.iter().map(String::as_str).collect();
    let places: Vec<Option<&str>> = match served.scope {
        Scope::Namespaced if !namespaces.is_empty() => namespaces.into_iter().map(Some).collect(),
        Scope::Namespaced | Scope::Cluster => vec![None],
    };
    let params = ListParams::default().labels(labels);
    let mut objects = Vec::new();
    for place in places {
        objects.extend(list_at(client, served, place, &params).await?);
    }
    Ok(objects)
}

/// Lists the related objects of a scope.
pub(super) async fn list_related(
    client: &Client,
    served: &ServedKind,
    scope: &RelatedScope,
) -> Result<Vec<Object>, PreviewError> {
    let mut params = ListParams::default().labels(&scope.labels.to_string());
    if let Some(name) = &scope.name {
        params = params.fields(&format!("metadata.name={name}"));
    }
    list_at(client, served, scope.namespace.as_deref(), &params).await
}

async fn list_at(
    client: &Client,
    served: &ServedKind,
    place: Option<&str>,
    params: &ListParams,
) -> Result<Vec<Object>, PreviewError> {
    let api = served.api(client, place);
    let page = |params| {
        let api = api.clone();
        async move { api.list(&params).await }
    };
    let read = |received: Received| received.into_object(&served.kind);
    let listed = list_pages(params.clone(), page, read).await;
    listed.map_err(|error| PreviewError::of(&error, format!("listing {}", served.kind)))
}
