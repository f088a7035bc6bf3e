use std::sync::Arc;

use handler_host_core::{Checked, Children, Denied, Failure, Kind, Object, Response};
use serde_json::{Map, Value};

use crate::active::Running;
use crate::invocation::{call, checked};

/// What a module wants of a parent, within its grant.
pub(crate) struct Decision {
    pub(crate) response: Response,
    pub(crate) desired: Children<Checked>,
    pub(crate) status: Option<Map<String, Value>>,
}

/// Why a module gave nothing that may be applied.
pub(crate) enum Undecided {
    /// The call failed.
    Failed(Failure),
    /// The response was outside the grant.
    Denied(Denied),
}

/// Calls a module for a parent and checks its response. Writes nothing.
pub(crate) async fn decide(
    running: &Running,
    parent: &Arc<Object>,
    observed: &[(Kind, Arc<Object>)],
) -> Result<Decision, Undecided> {
    tracing::debug!(handler = %running.grant.handler, object = %parent.key(), "calling the handler");
    let (invoke, config) = (running.invoke.clone(), running.config.clone());
    let response = call(invoke, parent.clone(), observed, config)
        .await
        .map_err(Undecided::Failed)?;
    let checked = checked(&response, parent, &running.grant);
    let (desired, status) = checked.map_err(Undecided::Denied)?;
    Ok(Decision {
        response,
        desired,
        status,
    })
}
