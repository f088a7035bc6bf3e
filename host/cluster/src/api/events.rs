use handler_host_core::{HandlerEvent, Severity, truncated};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::error::{ApiError, answered};

/// The API server's limit for the note of an Event, in bytes.
const NOTE: usize = 1024;

/// Publishes one Event.
pub(crate) async fn publish(
    client: &Client,
    reporter: Reporter,
    event: &HandlerEvent,
    reference: &ObjectReference,
) -> Result<(), ApiError> {
    // A recorder that is kept would count an Event of the same reason as a repetition, whatever its note: "Updated
    // ConfigMap a" would become a second "Created ConfigMap a".
    let recorder = Recorder::new(client.clone(), reporter);
    answered(recorder.publish(&event_of(event), reference)).await
}

fn event_of(event: &HandlerEvent) -> Event {
    let mut reason = event.reason.clone();
    reason.truncate(reason.floor_char_boundary(128));
    Event {
        type_: match event.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason,
        note: Some(truncated(event.message.clone(), NOTE)),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}
