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

    /// Removes the finalizer from every parent that has it.
    pub(super) async fn release_parents(&self) {
        let finalizer = self.grant.finalizer();
        for key in self.parents.cache.keys() {
            let held = self.parents.cache.get(&key);
            let Some(parent) = held.filter(|it| it.meta.finalizers.contains(&finalizer)) else {
                continue;
            };
            let problem = match self.write_finalizer(&parent, false).await {
                // A parent that changed or went meanwhile is not tried again: nobody is left to do so.
                FinalizerWrite::Written | FinalizerWrite::Stale => continue,
                FinalizerWrite::Rejected(message) => {
                    format!("the API server refused the finalizer: {message}")
                }
                FinalizerWrite::Unavailable { message, .. } => message,
            };
            tracing::warn!(handler = %self.grant.handler, object = %key, "its finalizer {finalizer} stays: {problem}; take it off by hand");
        }
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
                    self.parents.cache.insert(object.into());
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
