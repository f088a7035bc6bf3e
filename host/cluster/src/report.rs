use std::time::{Duration, Instant};

use handler_host_core::{
    HandlerEvent, HandlerIdentity, Key, Object, Observed, Reason, Severity, StatusInput, Verdict,
    status_patch,
};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::controller::Controller;
use crate::ledger::Report;
use crate::meters::Write;
use crate::refusal::{Refusal, answered};
use crate::watch::read;

/// The API server's limit for the note of an Event, in bytes.
const NOTE: usize = 1024;

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
            self.ledger.forget(key);
            return;
        };
        let Some(report) = self.ledger.with(&parent, |record| record.report.take()) else {
            return;
        };
        let mut report = *report;
        let mut written = self.write_status(&parent, &report).await;
        if let Err(Refusal::Rejected(message)) = &written
            && report.status.is_some()
        {
            report = self.without_handlers_status(&parent, &report, message);
            written = self.write_status(&parent, &report).await;
        }
        match written {
            Ok(()) => {
                self.ledger.with(&parent, |record| record.unwritten = 0);
                self.publish(&parent, &report.events).await;
            }
            // Somebody wrote the parent meanwhile: that change leads to another pass and its report. The
            // appointment is for the case that the news of it is lost.
            Err(Refusal::Conflict) => {
                self.report_later(&parent, report, None);
            }
            // The parent is gone, and the news of it is on its way; or its kind lost its status.
            Err(Refusal::NotFound(message)) => {
                if self.report_later(&parent, report, None) > 2 {
                    tracing::error!(handler = %self.grant.handler, object = %key, "the status cannot be written: {message}");
                }
            }
            Err(Refusal::Rejected(message)) => {
                tracing::error!(handler = %self.grant.handler, object = %key, "the API server refused the status: {message}");
            }
            Err(Refusal::Unavailable(_, delay)) => {
                self.report_later(&parent, report, delay);
            }
        }
    }

    /// The report for a parent whose status the API server refused with the handler's fields in it.
    fn without_handlers_status(&self, parent: &Object, report: &Report, message: &str) -> Report {
        let message = format!("the API server refused the status that the handler gave: {message}");
        let verdict = Verdict::new(Reason::Rejected, message);
        let mut events = Vec::new();
        if Observed::of(&verdict, &status_of(parent)) == Observed::Transition {
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
        let unwritten = self.ledger.with(parent, |record| {
            record.put_report(report);
            record.unwritten = record.unwritten.saturating_add(1);
            record.unwritten
        });
        let delay = self.backoff.delay(unwritten, fastrand::f64());
        let at = Instant::now() + delay.max(least.unwrap_or_default());
        self.work.change(|queue| queue.retry_by(parent.key(), at));
        unwritten
    }

    async fn write_status(&self, parent: &Object, report: &Report) -> Result<(), Refusal> {
        let Some(status) = self.patch_for(&status_of(parent), report) else {
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
        self.meters.wrote(Write::Status, &written);
        let answer = written?;
        let Some(written) = read(&served.kind, answer) else {
            return Ok(());
        };
        self.ledger.with(parent, |record| {
            if let Some(fingerprint) = &mut record.fingerprint
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
            self.meters.wrote(Write::Event, &published);
            match published {
                Ok(()) => self.event_trouble.is_over(),
                // An Event lost is news lost, not work: the condition says the same.
                Err(refusal) => self.event_trouble.met(&refusal),
            }
        }
    }
}

/// Publishes one Event.
pub(crate) async fn publish(
    client: &Client,
    reporter: Reporter,
    event: &HandlerEvent,
    reference: &ObjectReference,
) -> Result<(), Refusal> {
    // A recorder that is kept would count an Event of the same reason as the earlier one once more,
    // whatever its note: "Updated" would be told as a second "Created".
    let recorder = Recorder::new(client.clone(), reporter);
    answered(recorder.publish(&event_of(event), reference)).await
}

fn event_of(event: &HandlerEvent) -> Event {
    let mut note = event.message.clone();
    if note.len() > NOTE {
        note.truncate(note.floor_char_boundary(NOTE - '…'.len_utf8()));
        note.push('…');
    }
    let mut reason = event.reason.clone();
    reason.truncate(reason.floor_char_boundary(128));
    Event {
        type_: match event.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason,
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

/// The status in an object's text; null if it has none.
pub(crate) fn status_of(parent: &Object) -> Value {
    #[derive(Deserialize)]
    struct HasStatus {
        #[serde(default)]
        status: Value,
    }
    // The text was read once already.
    serde_json::from_str::<HasStatus>(parent.text()).map_or(Value::Null, |object| object.status)
}
