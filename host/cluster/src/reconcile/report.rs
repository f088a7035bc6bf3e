use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use handler_host_core::{
    ConditionChange, FieldPath, HandlerEvent, HandlerIdentity, Key, Object, ParentStatus,
    PassReport, Reason, StatusInput, Verdict, dropped_fields, status_patch,
};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::controller::Controller;
use super::parent_states::Report;
use crate::api::{ApiError, answered, publish};
use crate::metrics::Write;

/// A status that takes no more than this, in bytes of memory, is looked at whatever others are.
const SMALL_STATUS: usize = 64 << 10;
/// How many writes of a status fail in a row before it is given up: most such failures pass within seconds.
const TRIES: u32 = 2;

impl Controller {
    /// The parameters of patches of parents.
    pub(crate) fn patch_params(&self) -> PatchParams {
        PatchParams {
            field_manager: Some(self.grant.field_manager()),
            ..PatchParams::default()
        }
    }

    /// Whether the status of a parent keeps the conditions that the host writes.
    pub(super) fn keeps_conditions(&self) -> bool {
        match self.grant.parent_status {
            ParentStatus::Nothing => false,
            ParentStatus::Conditions => !self.dropped.read().contains(&FieldPath::of("conditions")),
        }
    }

    /// Looks at the status of a parent; None if it takes more memory than the host has for an answer. Somebody may write a
    /// megabyte of small values there, which take a hundred times as much. Large ones are looked at one after the other.
    pub(super) fn with_status<T>(
        &self,
        parent: &Object,
        look: impl FnOnce(&Value) -> T,
    ) -> Option<T> {
        static LARGE: Mutex<()> = Mutex::new(());
        let bytes = parent.status_memory(self.answers.most())?;
        let _turn = (bytes > SMALL_STATUS).then(|| LARGE.lock());
        Some(look(&parent.status()))
    }

    /// The patch of the parent's status; None if the status says the same already, or is left alone.
    pub(crate) fn patch_for(&self, observed: &Value, report: &Report) -> Option<Value> {
        match self.grant.parent_status {
            ParentStatus::Nothing => return None,
            ParentStatus::Conditions => {}
        }
        let dropped = self.dropped.read();
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let has_status = self.parents.served.has_status;
        status_patch(StatusInput {
            observed,
            verdict: &report.told.verdict,
            handler: HandlerIdentity {
                name: &self.grant.handler,
                digest: report.digest,
            },
            condition: &self.grant.condition,
            generation: report.generation.filter(|_| has_status),
            patch: report.told.status.as_ref().map(|status| &status.fields),
            conditions: report
                .told
                .status
                .as_ref()
                .map_or(&[], |status| &status.conditions),
            dropped: &dropped,
            now: &now,
        })
    }

    /// Writes the report of a parent: first the status, then the Events.
    pub(crate) async fn report(&self, key: &Key) {
        // Of one that went, the news is in the queue, and its reconcile forgets it.
        let Some(parent) = self.parents.cache.get(key) else {
            return;
        };
        let notice = self.states.with(&parent, |state| state.notice.take());
        if let Some(notice) = notice {
            self.publish(&parent, &[*notice]).await;
        }
        let Some(mut report) = self.states.take_report(&parent) else {
            return;
        };
        let mut written = self.write_status(&parent, &report).await;
        let is_refused = match &written {
            Err(ApiError::Rejected(_)) => true,
            // Most such failures pass within seconds.
            Err(ApiError::Failed(_)) => self.states.with(&parent, |state| state.unwritten) >= TRIES,
            _ => false,
        };
        if let Err(ApiError::Rejected(message) | ApiError::Failed(message)) = &written
            && is_refused
            && report.told.status.is_some()
        {
            report = self.without_handlers_status(&parent, &report, message);
            written = self.write_status(&parent, &report).await;
        }
        match written {
            Ok(()) => {
                self.states.with(&parent, |state| state.unwritten = 0);
                self.publish(&parent, &report.told.events).await;
            }
            // The parent was changed meanwhile, which leads to another pass and its report. The appointment is for
            // the case that this pass finds nothing to do.
            Err(ApiError::Conflict) => {
                self.report_later(&parent, report, None);
            }
            // The parent was deleted, and the watch will say so; or its kind lost its status subresource.
            Err(ApiError::NotFound(message)) => {
                self.follower.hint();
                if self.report_later(&parent, report, None) > 2 {
                    tracing::error!(handler = %self.grant.handler, object = %key, "the status cannot be written: {message}");
                }
            }
            Err(ApiError::Failed(message)) => {
                if self.report_later(&parent, report, None) > TRIES {
                    tracing::error!(handler = %self.grant.handler, object = %key, "the API server fails with the status: {message}");
                }
            }
            Err(ApiError::Rejected(message) | ApiError::Terminating(message)) => {
                tracing::error!(handler = %self.grant.handler, object = %key, "the API server refused the status: {message}");
            }
            Err(ApiError::Unavailable(_, delay)) => {
                self.report_later(&parent, report, delay);
            }
        }
    }

    /// The report for a parent when the API server refused the status with the handler's fields in it.
    fn without_handlers_status(&self, parent: &Object, report: &Report, message: &str) -> Report {
        let message = format!("the API server refused the status that the handler gave: {message}");
        let verdict = Verdict::new(Reason::Rejected, message);
        let mut events = Vec::new();
        let change = self.with_status(parent, |status| {
            ConditionChange::of(&verdict, status, &self.grant.condition)
        });
        if change == Some(ConditionChange::Transition) {
            self.log_verdict(&parent.key(), &verdict);
            events.push(verdict.announcement(&[]));
        }
        let told = PassReport {
            verdict,
            status: None,
            events,
        };
        Report {
            told,
            digest: report.digest,
            generation: report.generation,
        }
    }

    /// Keeps a report that could not be written. Gives how many times in a row that happened. A large status is not kept:
    /// another pass gives it again.
    fn report_later(&self, parent: &Object, mut report: Report, least: Option<Duration>) -> u32 {
        let is_large = report.has_large_status();
        if is_large {
            report.told.status = None;
        }
        self.states.put_report(parent, report);
        let unwritten = self.states.with(parent, |state| {
            if is_large {
                state.fingerprint = None;
            }
            state.unwritten = state.unwritten.saturating_add(1);
            state.unwritten
        });
        let delay = self.backoff.delay(unwritten, fastrand::f64());
        let at = Instant::now() + delay.max(least.unwrap_or_default());
        self.queue.change(|queue| queue.retry_by(parent.key(), at));
        unwritten
    }

    pub(super) async fn write_status(
        &self,
        parent: &Object,
        report: &Report,
    ) -> Result<(), ApiError> {
        let status = self.with_status(parent, |status| self.patch_for(status, report));
        let Some(status) = status.flatten() else {
            return Ok(());
        };
        self.budget.take(status.to_string().len());
        // The conditions are written as a whole list, so the parent must be the one that was seen.
        let patch = json!({
            "metadata": {"resourceVersion": parent.meta.resource_version},
            "status": &status,
        });
        let served = &self.parents.served;
        let api = served.api(&self.client, parent.meta.namespace.as_deref());
        let params = self.patch_params();
        let (name, patch) = (&parent.meta.name, Patch::Merge(&patch));
        let written = if served.has_status {
            answered(api.patch_status(name, &params, &patch)).await
        } else {
            answered(api.patch(name, &params, &patch)).await
        };
        self.metrics.wrote(Write::Status, (&written).into());
        let answer = written?;
        let Some(written) = answer.into_object(&served.kind) else {
            return Ok(());
        };
        if written.status_hash() == parent.status_hash() {
            // The write changed nothing, as where the status is a subresource by now.
            self.follower.hint();
        }
        let dropped = self.with_status(&written, |after| dropped_fields(&status, after));
        self.note_dropped(dropped.unwrap_or_default());
        self.states
            .with(parent, |state| state.wrote_status(parent, &written));
        self.remember_parent(written);
        Ok(())
    }

    /// Notes which fields of a status the schema of the kind drops. They are not written any more, and told once.
    fn note_dropped(&self, found: BTreeSet<FieldPath>) {
        if found.is_subset(&self.dropped.read()) {
            return;
        }
        let fields: Vec<_> = found
            .iter()
            .map(|field| format!("status.{field}"))
            .collect();
        let kind = &self.grant.parent;
        let message = format!(
            "the API server drops {} of {kind}: its CustomResourceDefinition does not have these fields. \
             They are not written any more; Events tell what the conditions would. Add the fields to the schema, \
             or set spec.parent.status to None",
            fields.join(", ")
        );
        self.dropped.write().extend(found);
        self.warn("StatusDropped", message);
    }

    async fn publish(&self, parent: &Object, events: &[HandlerEvent]) {
        let kind = &self.parents.served.kind;
        let reference = ObjectReference {
            api_version: Some(kind.api_version.clone()),
            kind: Some(kind.kind.clone()),
            name: Some(parent.meta.name.clone()),
            namespace: parent.meta.namespace.clone(),
            uid: Some(parent.meta.uid.clone()),
            ..ObjectReference::default()
        };
        for event in events {
            let published = publish(&self.host, self.reporter.clone(), event, &reference).await;
            self.metrics.wrote(Write::Event, (&published).into());
            match published {
                Ok(()) => self.event_problems.resolve(),
                // Its parent goes with the namespace.
                Err(ApiError::Terminating(_)) => return,
                // An Event is not published again: the condition says the same.
                Err(error) => self.event_problems.report(&error),
            }
        }
    }
}
