use handler_host_core::{HandlerEvent, Severity, truncated};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::events::Reporter;
use kube::{Api, Client};

use super::error::{ApiError, answered};

/// The API server's limit for the note of an Event, in bytes.
const NOTE: usize = 1024;
/// The longest name of an object, in bytes.
const LONGEST_NAME: usize = 253;

/// Publishes one Event.
///
/// The recorder of kube is not used: it counts an Event of the same reason as a repetition, whatever its note, and names
/// an Event after its object, also where that name leaves no room.
pub(crate) async fn publish(
    client: &Client,
    reporter: Reporter,
    event: &HandlerEvent,
    reference: &ObjectReference,
) -> Result<(), ApiError> {
    // Events about cluster-scoped objects are in this namespace, as those of other controllers are.
    let namespace = reference.namespace.as_deref().unwrap_or("default");
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let event = event_of(event, reporter, reference, Timestamp::now());
    answered(events.create(&PostParams::default(), &event))
        .await
        .map(drop)
}

fn event_of(
    event: &HandlerEvent,
    reporter: Reporter,
    reference: &ObjectReference,
    now: Timestamp,
) -> Event {
    let mut reason = event.reason.clone();
    reason.truncate(reason.floor_char_boundary(128));
    let severity = match event.severity {
        Severity::Normal => "Normal",
        Severity::Warning => "Warning",
    };
    let instance = reporter
        .instance
        .unwrap_or_else(|| reporter.controller.clone());
    Event {
        metadata: ObjectMeta {
            name: Some(name_of(reference.name.as_deref().unwrap_or_default(), now)),
            namespace: reference.namespace.clone(),
            ..ObjectMeta::default()
        },
        type_: Some(severity.to_owned()),
        reason: Some(reason),
        note: Some(truncated(event.message.clone(), NOTE)),
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(now)),
        regarding: Some(reference.clone()),
        reporting_controller: Some(reporter.controller),
        reporting_instance: Some(instance),
        ..Event::default()
    }
}

/// A name that no other Event has: the object's, as far as there is room, and the time.
fn name_of(object: &str, now: Timestamp) -> String {
    let suffix = format!(".{:x}", now.as_nanosecond());
    let mut name = object.to_owned();
    name.truncate(name.floor_char_boundary(LONGEST_NAME.saturating_sub(suffix.len())));
    // Before the dot a name must end with a letter or digit.
    let kept = name.trim_end_matches(['-', '.']);
    format!("{kept}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_has_room_for_its_time() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        assert!(name_of("claim", now).starts_with("claim."));
        let longest = name_of(&format!("{}.{}", "a".repeat(235), "b".repeat(17)), now);
        assert!(
            longest.len() <= LONGEST_NAME && !longest.contains(".."),
            "{longest}"
        );
    }
}
