//! The lines of the audit log as the API server writes them.

use serde::Deserialize;

use super::entries::AuditEntry;

/// A line of the log: the fields of an Event of audit.k8s.io/v1 that tests use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditEvent {
    #[serde(rename = "auditID")]
    pub(super) audit_id: String,
    stage: String,
    verb: String,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
    user: AuditUser,
    #[serde(default)]
    impersonated_user: AuditUser,
    #[serde(default)]
    user_agent: String,
    #[serde(rename = "sourceIPs", default)]
    source_ips: Vec<String>,
    #[serde(default)]
    object_ref: AuditObject,
    #[serde(default)]
    response_status: AuditStatus,
    #[serde(default)]
    request_received_timestamp: String,
    #[serde(default)]
    stage_timestamp: String,
}

#[derive(Default, Deserialize)]
struct AuditUser {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuditObject {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuditStatus {
    code: u16,
    message: String,
}

impl AuditEvent {
    pub(super) fn ends_a_watch(&self) -> bool {
        self.verb == "watch" && self.stage == "ResponseComplete" && self.response_status.code < 300
    }
}

impl From<AuditEvent> for AuditEntry {
    fn from(event: AuditEvent) -> Self {
        AuditEntry {
            user: event.user.username,
            impersonated: event.impersonated_user.username,
            verb: event.verb,
            group: event.object_ref.api_group,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            code: event.response_status.code,
            message: event.response_status.message,
            uri: event.request_uri,
            user_agent: event.user_agent,
            source: event.source_ips.into_iter().next().unwrap_or_default(),
            received: event.request_received_timestamp,
            answered: event.stage_timestamp,
        }
    }
}
