use std::time::{Duration, Instant};

use handler_host_core::{
    ConditionChange, HandlerEvent, HandlerIdentity, Key, Object, Reason, Severity, StatusInput,
    Verdict, status_patch,
};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::controller::Controller;
use super::parent_states::Report;
use crate::api::{ApiError, answered, publish};
use crate::metrics::Write;

impl Controller {
    /// Says a transition: one log line, one Event.
    pub(crate) fn announce(
        &self,
        key: &Key,
        verdict: &Verdict,
        changes: &[String],
        events: &mut Vec<HandlerEvent>,
    ) {
        let (handler, reason) = (&self.grant.handler, verdict.reason.as_str());
        match verdict.reason.severity() {
            Severity::Normal => {
                tracing::debug!(%handler, object = %key, reason, "{}", verdict.message);
            }
            Severity::Warning => {
                tracing::warn!(%handler, object = %key, reason, "{}", verdict.message);
            }
        }
        let message = if verdict.reason == Reason::Reconciled && !changes.is_empty() {
            changes.join(", ")
        } else {
            verdict.message.clone()
        };
        events.push(HandlerEvent {
            severity: verdict.reason.severity(),
            reason: reason.to_owned(),
            message,
        });
    }

    /// How parents are patched: in the name of the handler.
    pub(crate) fn patch_params(&self) -> PatchParams {
        PatchParams {
            field_manager: Some(self.grant.field_manager()),
            ..PatchParams::default()
        }
    }

    /// What is to be written into the parent's status; None if it says it already.
    pub(crate) fn patch_for(&self, observed: &Value, report: &Report) -> Option<Value> {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let has_status = self.parents.served.has_status;
        status_patch(StatusInput {
            observed,
            verdict: &report.verdict,
            handler: HandlerIdentity {
                name: &self.grant.handler,
                digest: report.digest,
            },
            generation: report.generation.filter(|_| has_status),
            patch: report.status.as_ref(),
            now: &now,
        })
    }

    /// Writes what is to be said about a parent: its status, then the Events.
    pub(crate) async fn report(&self, key: &Key) {
        let Some(parent) = self.parents.cache.get(key) else {
            self.states.forget(key);
            return;
        };
        let Some(report) = self.states.with(&parent, |state| state.report.take()) else {
            return;
        };
        let mut report = *report;
        let mut written = self.write_status(&parent, &report).await;
        if let Err(ApiError::Rejected(message)) = &written
            && report.status.is_some()
        {
            report = self.without_handlers_status(&parent, &report, message);
            written = self.write_status(&parent, &report).await;
        }
        match written {
            Ok(()) => {
                self.states.with(&parent, |state| state.unwritten = 0);
                self.publish(&parent, &report.events).await;
            }
            // Somebody wrote the parent meanwhile: that change leads to another pass and its report. The
            // appointment is for the case that the news of it is lost.
            Err(ApiError::Conflict) => {
                self.report_later(&parent, report, None);
            }
            // The parent is gone, and the news of it is on its way; or its kind lost its status.
            Err(ApiError::NotFound(message)) => {
                if self.report_later(&parent, report, None) > 2 {
                    tracing::error!(handler = %self.grant.handler, object = %key, "the status cannot be written: {message}");
                }
            }
            Err(ApiError::Rejected(message)) => {
                tracing::error!(handler = %self.grant.handler, object = %key, "the API server refused the status: {message}");
            }
            Err(ApiError::Unavailable(_, delay)) => {
                self.report_later(&parent, report, delay);
            }
        }
    }

    /// The report for a parent whose status the API server refused with the handler's fields in it.
    fn without_handlers_status(&self, parent: &Object, report: &Report, message: &str) -> Report {
        let message = format!("the API server refused the status that the handler gave: {message}");
        let verdict = Verdict::new(Reason::Rejected, message);
        let mut events = Vec::new();
        if ConditionChange::of(&verdict, &parent.status()) == ConditionChange::Transition {
            self.announce(&parent.key(), &verdict, &[], &mut events);
        }
        Report {
            verdict,
            digest: report.digest,
            generation: report.generation,
            status: None,
            events,
        }
    }

    /// Keeps a report that could not be written; tells how often that was so in a row.
    fn report_later(&self, parent: &Object, report: Report, least: Option<Duration>) -> u32 {
        let unwritten = self.states.with(parent, |state| {
            state.put_report(report);
            state.unwritten = state.unwritten.saturating_add(1);
            state.unwritten
        });
        let delay = self.backoff.delay(unwritten, fastrand::f64());
        let at = Instant::now() + delay.max(least.unwrap_or_default());
        self.work.change(|queue| queue.retry_by(parent.key(), at));
        unwritten
    }

    async fn write_status(&self, parent: &Object, report: &Report) -> Result<(), ApiError> {
        let Some(status) = self.patch_for(&parent.status(), report) else {
            return Ok(());
        };
        // The conditions are written as a whole list, so it must be the list that was seen.
        let patch = json!({
            "metadata": {"resourceVersion": parent.meta.resource_version},
            "status": status,
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
        self.states.with(parent, |state| {
            if let Some(fingerprint) = &mut state.fingerprint
                && fingerprint.is_of(parent)
            {
                fingerprint.wrote_parent(&written);
            }
        });
        self.parents.cache.insert(written);
        Ok(())
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
                // An Event lost is news lost, not work: the condition says the same.
                Err(refusal) => self.event_problems.report(&refusal),
            }
        }
    }
}
