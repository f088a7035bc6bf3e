//! What a pass and a preview have in common: they must not differ up to the requests they send.

use std::collections::HashMap;
use std::sync::Arc;

use handler_host_core::{
    Call, Checked, ChildRef, Children, Denied, Digest, Effort, Failure, Grant, Invoke, Kind,
    Object, Response, Step, check, check_status, plan,
};
use serde_json::{Map, Value};

use crate::watching::WatchedKind;

/// The parent's children, in the order the world promises.
pub(crate) fn observe(
    kinds: &[WatchedKind],
    parent: &Object,
    handler: &str,
) -> Vec<(Kind, Arc<Object>)> {
    let mut observed: Vec<(Kind, Arc<Object>)> = Vec::new();
    for kind in kinds {
        let found = kind.cache.children_of(&parent.meta.uid);
        let ours = found
            .into_iter()
            .filter(|child| child.is_child_of(parent, handler));
        observed.extend(ours.map(|child| (kind.served.kind.clone(), child)));
    }
    observed.sort_by_cached_key(|(kind, child)| (kind.clone(), child.key()));
    observed
}

/// Calls the handler for a parent.
pub(crate) async fn call(
    invoke: Arc<dyn Invoke>,
    parent: Arc<Object>,
    observed: &[(Kind, Arc<Object>)],
    config: Arc<str>,
) -> (Result<Response, Failure>, Effort) {
    let children: Vec<_> = observed.iter().map(|(_, child)| child.clone()).collect();
    let call = move || {
        let texts: Vec<&str> = children.iter().map(|child| child.text()).collect();
        invoke.invoke_measured(&Call {
            object: &parent.key().to_string(),
            parent: parent.text(),
            children: &texts,
            config: &config,
        })
    };
    // A guest may use its whole deadline; no async thread is to stand still that long.
    let answer = tokio::task::spawn_blocking(call).await;
    answer.unwrap_or_else(|error| {
        let message = format!("the host failed to run the handler ({error})");
        let failure = Failure::Temporary {
            message,
            delay: None,
        };
        (Err(failure), Effort::Nothing)
    })
}

/// What a response within the grant desires: children, and a patch of the parent's status.
pub(crate) type Desires = (Children<Checked>, Option<Map<String, Value>>);

/// Checks a response against the grant.
pub(crate) fn checked(
    response: &Response,
    parent: &Object,
    grant: &Grant,
) -> Result<Desires, Denied> {
    let status = check_status(response.status.as_deref(), grant)?;
    let desired = Children::desired(response.children.clone());
    Ok((check(desired, parent, grant)?, status))
}

/// What is to be done for a parent.
pub(crate) fn steps<'a>(
    desired: &'a Children<Checked>,
    observed: &'a [(Kind, Arc<Object>)],
    accepted: &HashMap<ChildRef, Digest>,
    parent: &Object,
    grant: &Grant,
) -> Vec<Step<'a>> {
    let mut steps = plan(desired, observed, accepted);
    if parent.is_deleting() {
        // To orphan is the administrator's word, and a handler that desires nothing in the end has none.
        steps
            .retain(|step| !matches!(step, Step::Delete { child, .. } if grant.keeps(&child.kind)));
    }
    steps
}
