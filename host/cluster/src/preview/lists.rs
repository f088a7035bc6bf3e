use std::collections::BTreeSet;

use handler_host_core::{Object, Scope};
use kube::Client;
use kube::api::ListParams;

use super::error::PreviewError;
use crate::api::{Received, ServedKind, answered_with_retries};

/// How many objects one request lists.
const PAGE: u32 = 500;

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
        let mut params = ListParams::default().labels(labels).limit(PAGE);
        loop {
            let page = answered_with_retries(|| api.list(&params)).await;
            let page =
                page.map_err(|error| PreviewError::of(&error, format!("listing {}", served.kind)))?;
            let read = |received: Received| received.into_object(&served.kind);
            objects.extend(page.items.into_iter().filter_map(read));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => break,
            }
        }
    }
    Ok(objects)
}
