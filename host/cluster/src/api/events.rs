use handler_host_core::{HandlerEvent, Severity};
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
