use handler_host_core::{FinalizerWrite, Object, PassOutcome};
use kube::api::Patch;
use serde_json::json;

use super::controller::Controller;
use crate::api::{ApiError, answered};
use crate::metrics::Write;

impl Controller {
    /// Sets the handler's finalizer on a parent, or removes it.
    pub(super) async fn set_finalizer(&self, parent: &Object, is_wanted: bool) -> PassOutcome {
        PassOutcome::of_finalizer(self.write_finalizer(parent, is_wanted).await)
    }

    async fn write_finalizer(&self, parent: &Object, is_wanted: bool) -> FinalizerWrite {
        let ours = self.grant.finalizer();
        let mut finalizers = parent.meta.finalizers.clone();
        finalizers.retain(|finalizer| *finalizer != ours);
        finalizers.extend(is_wanted.then_some(ours));
        // The whole list is written, so it must be the list that was seen.
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": parent.meta.resource_version,
        }});
        let served = &self.parents.served;
        let api = served.api(&self.client, parent.meta.namespace.as_deref());
        let params = self.patch_params();
        let patch = Patch::Merge(&patch);
        let written = answered(api.patch(&parent.meta.name, &params, &patch)).await;
        self.metrics.wrote(Write::Finalizer, (&written).into());
        match written {
            Ok(answer) => {
                // The answer is a change of the parent, and what it leads to is the pass that calls.
                if let Some(object) = answer.into_object(&served.kind) {
                    self.remember_parent(object);
                }
                self.queue.change(|queue| queue.add(parent.key()));
                FinalizerWrite::Written
            }
            Err(ApiError::NotFound(_) | ApiError::Conflict) => FinalizerWrite::Stale,
            Err(ApiError::Unavailable(message, retry_after)) => FinalizerWrite::Unavailable {
                message,
                retry_after,
            },
            Err(
                ApiError::Rejected(message)
                | ApiError::Terminating(message)
                | ApiError::Failed(message),
            ) => FinalizerWrite::Rejected(message),
        }
    }
}
