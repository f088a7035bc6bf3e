//! What tests read from objects of the API server, Pods above all. The functions panic when a field is missing that
//! the API server always sets.

use serde_json::Value;

use crate::objects::condition;

/// The name of an object.
pub fn name(object: &Value) -> &str {
    let name = object["metadata"]["name"].as_str();
    name.unwrap_or_else(|| panic!("an object without a name: {object:#}"))
}

/// The IP address of a Pod.
pub fn address(pod: &Value) -> &str {
    let address = pod["status"]["podIP"].as_str();
    address.unwrap_or_else(|| panic!("a Pod without an IP address: {pod:#}"))
}

/// The UID of a Pod, and how often its first container was restarted. Both stay the same while the Pod goes on.
pub fn uid_and_restarts(pod: &Value) -> (String, i64) {
    let uid = pod["metadata"]["uid"].as_str();
    let uid = uid.unwrap_or_else(|| panic!("a Pod without a UID: {pod:#}"));
    let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_i64();
    let restarts = restarts.unwrap_or_else(|| panic!("a Pod without containers: {pod:#}"));
    (uid.to_owned(), restarts)
}

/// Whether a Pod is ready and is not being deleted.
pub(super) fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && condition(pod, "Ready").is_some_and(|it| it["status"] == "True")
}

/// The name of a Pod and the state of its first container, for messages.
pub(super) fn state(pod: &Value) -> String {
    format!(
        "{}: {}",
        name(pod),
        pod["status"]["containerStatuses"][0]["state"]
    )
}
