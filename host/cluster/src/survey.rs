use std::collections::BTreeSet;

use handler_host_core::{GrantError, Kind, Object, Scope};
use kube::Client;
use kube::api::ListParams;

use crate::discovery::{Served, ask};
use crate::refusal::{Refusal, answered_in_turn};
use crate::watch::read;

/// Objects asked for at a time.
const PAGE: u32 = 500;

/// Why there is no preview. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The description cannot be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A kind is not served.
    #[error("{}", crate::discovery::missing(.0))]
    NotServed(Kind),
    /// Namespaces were named for parents that live in none.
    #[error("{0} is cluster-scoped and lives in no namespace; name none")]
    Namespaces(Kind),
    /// The API server refused a request that only reads.
    #[error("{action}: {message}; preview as somebody who may")]
    Refused {
        /// What was asked for.
        action: String,
        /// Why not.
        message: String,
    },
    /// The API server cannot answer.
    #[error("{action}: {message}; preview again when the API server answers")]
    Unavailable {
        /// What was asked for.
        action: String,
        /// Why not.
        message: String,
    },
}

/// How a kind is served; that it is not is an error at once.
pub(crate) async fn discover(client: &Client, kind: &Kind) -> Result<Served, PreviewError> {
    match answered_in_turn(|| ask(client, kind)).await {
        Ok(Some(served)) => Ok(served),
        Ok(None) | Err(Refusal::NotFound(_)) => Err(PreviewError::NotServed(kind.clone())),
        Err(refusal) => Err(PreviewError::of(&refusal, format!("looking for {kind}"))),
    }
}

/// The objects of a kind, in these namespaces or, with none, in all.
pub(crate) async fn list(
    client: &Client,
    served: &Served,
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
            let page = answered_in_turn(|| api.list(&params)).await;
            let page = page.map_err(|refusal| {
                PreviewError::of(&refusal, format!("listing {}", served.kind))
            })?;
            let read = |received| read(&served.kind, received);
            objects.extend(page.items.into_iter().filter_map(read));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => break,
            }
        }
    }
    Ok(objects)
}

impl PreviewError {
    pub(crate) fn of(refusal: &Refusal, action: String) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Conflict | Refusal::NotFound(_) | Refusal::Rejected(_) => {
                Self::Refused { action, message }
            }
            Refusal::Unavailable(..) => Self::Unavailable { action, message },
        }
    }
}
