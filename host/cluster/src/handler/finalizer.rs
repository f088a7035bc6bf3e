use handler_host_core::{Kind, finalizer_of};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::api::{ApiClients, ApiError, Received, ServedKind, answered, find, list_pages};
use crate::resource::Handler;

/// The finalizer of a Handler whose parents have finalizers: it is not gone before they are let go.
pub const PARENTS_FINALIZER: &str = "handler-host.dev/parents";

/// How often a list of finalizers is written that others change meanwhile.
const ATTEMPTS: usize = 5;

/// Sets the finalizer of a Handler, or removes it. A Handler that is gone needs none, and one of another uid is another
/// Handler.
///
/// # Errors
///
/// What the API server says, if it refuses or cannot answer.
pub async fn hold_handler(
    client: &Client,
    name: &str,
    uid: Option<&str>,
    is_held: bool,
) -> Result<(), String> {
    let api: Api<Handler> = Api::all(client.clone());
    for _ in 0..ATTEMPTS {
        let handler = match answered(api.get_metadata(name)).await {
            Ok(handler) => handler,
            Err(ApiError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        if uid.is_some() && handler.metadata.uid.as_deref() != uid {
            return Ok(());
        }
        // Nothing can be added to an object that is being deleted.
        let is_settable = handler.metadata.deletion_timestamp.is_none() || !is_held;
        let mut finalizers = handler.metadata.finalizers.clone().unwrap_or_default();
        let has_it = finalizers.iter().any(|it| it == PARENTS_FINALIZER);
        if has_it == is_held || !is_settable {
            return Ok(());
        }
        finalizers.retain(|it| it != PARENTS_FINALIZER);
        finalizers.extend(is_held.then(|| PARENTS_FINALIZER.to_owned()));
        match write(
            &api,
            &handler.name_any(),
            handler.resource_version(),
            &finalizers,
        )
        .await
        {
            Ok(()) | Err(ApiError::NotFound(_)) => return Ok(()),
            Err(ApiError::Conflict) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(ApiError::Conflict.to_string())
}

/// Removes a handler's finalizer from every parent that has it, so that none of them hangs in its deletion. Where the
/// handler's account lacks a right, the host's own is used. A kind that is not served has no parents.
///
/// # Errors
///
/// The first parent that is not let go, and why.
pub async fn release_parents(
    clients: &ApiClients,
    handler: &str,
    parent: &Kind,
    namespaces: &[String],
) -> Result<(), String> {
    let finalizer = finalizer_of(handler);
    let served = match find(&clients.host, parent).await {
        Ok(Some(served)) => served,
        Ok(None) => return Ok(()),
        Err(error) => return Err(format!("looking for {parent}: {error}")),
    };
    let places: Vec<Option<&str>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(|it| Some(it.as_str())).collect()
    };
    for place in places {
        release_in(clients, &served, place, &finalizer).await?;
    }
    Ok(())
}

async fn release_in(
    clients: &ApiClients,
    served: &ServedKind,
    namespace: Option<&str>,
    finalizer: &str,
) -> Result<(), String> {
    let mut stale = String::new();
    for _ in 0..ATTEMPTS {
        let held = match held_parents(&clients.handler, served, namespace, finalizer).await {
            Err(ApiError::Rejected(_)) => {
                held_parents(&clients.host, served, namespace, finalizer).await
            }
            held => held,
        };
        let held = held.map_err(|error| format!("listing {}: {error}", served.kind))?;
        stale.clear();
        for parent in held {
            let name = parent.name_any();
            let of = |client| served.api(client, parent.namespace().as_deref());
            let mut left = parent.finalizers().to_vec();
            left.retain(|it| it != finalizer);
            let version = parent.resource_version();
            let written = match write(&of(&clients.handler), &name, version.clone(), &left).await {
                Err(ApiError::Rejected(_)) => {
                    write(&of(&clients.host), &name, version, &left).await
                }
                written => written,
            };
            match written {
                Ok(()) | Err(ApiError::NotFound(_)) => {}
                Err(error) => {
                    let kind = &served.kind.kind;
                    let problem =
                        format!("the finalizer {finalizer} of {kind} {name} stays: {error}");
                    match error {
                        ApiError::Conflict => stale = problem,
                        ApiError::NotFound(_)
                        | ApiError::Rejected(_)
                        | ApiError::Terminating(_)
                        | ApiError::Failed(_)
                        | ApiError::Unavailable(..) => return Err(problem),
                    }
                }
            }
        }
        if stale.is_empty() {
            return Ok(());
        }
    }
    Err(stale)
}

/// The parents that have the finalizer.
async fn held_parents(
    client: &Client,
    served: &ServedKind,
    namespace: Option<&str>,
    finalizer: &str,
) -> Result<Vec<PartialObjectMeta<Received>>, ApiError> {
    let api = served.api(client, namespace);
    let page = |params| {
        let api = api.clone();
        async move { api.list_metadata(&params).await }
    };
    let has_it = |parent: PartialObjectMeta<Received>| {
        let has_it = parent.finalizers().iter().any(|it| it == finalizer);
        has_it.then_some(parent)
    };
    list_pages(ListParams::default(), page, has_it).await
}

/// Writes a list of finalizers as a whole, so the object must be the one that was seen.
async fn write<K>(
    api: &Api<K>,
    name: &str,
    version: Option<String>,
    finalizers: &[String],
) -> Result<(), ApiError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
    let params = PatchParams::default();
    let patch = Patch::Merge(&patch);
    answered(api.patch_metadata(name, &params, &patch))
        .await
        .map(drop)
}
