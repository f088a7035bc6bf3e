use std::collections::BTreeSet;

use handler_host_core::{Object, Scope};
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
    let mut objects = Vec::new();
    for place in places {
        let api = served.api(client, place);
        let page = |params| {
            let api = api.clone();
            async move { api.list(&params).await }
        };
        let read = |received: Received| received.into_object(&served.kind);
        let listed = list_pages(ListParams::default().labels(labels), page, read).await;
        let listed =
            listed.map_err(|error| PreviewError::of(&error, format!("listing {}", served.kind)))?;
        objects.extend(listed);
    }
    Ok(objects)
}
