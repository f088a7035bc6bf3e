use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// What one call may use, and how much it may return.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Memory of one call: 1Mi to 1Gi.
    #[serde(default = "LimitsSpec::default_memory")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = rules::MEMORY.quantity_rule())]
    pub memory: String,
    /// How long one call may compute, without its waiting: 10ms to 60s.
    #[serde(default = "LimitsSpec::default_deadline")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = rules::DEADLINE.duration_rule())]
    pub deadline: String,
    /// How many children one parent may have.
    #[serde(default = "LimitsSpec::default_children")]
    #[schemars(range(min = 0, max = 1000))]
    pub children: i32,
    /// Size of one child's JSON: 1Ki to 1Mi.
    #[serde(default = "LimitsSpec::default_child_size")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = rules::CHILD_SIZE.quantity_rule())]
    pub child_size: String,
    /// Size of the JSON of one status patch: 1Ki to 1Mi.
    #[serde(default = "LimitsSpec::default_status_size")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = rules::STATUS_SIZE.quantity_rule())]
    pub status_size: String,
    /// Size of all that one response holds: 64Ki to 32Mi.
    #[serde(default = "LimitsSpec::default_response_size")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = rules::RESPONSE_SIZE.quantity_rule())]
    pub response_size: String,
    /// How many related objects one call may be given.
    #[serde(default = "LimitsSpec::default_related")]
    #[schemars(range(min = 0, max = 10_000))]
    pub related: i32,
    /// Size of the JSON of the related objects of one call: 1Ki to 64Mi.
    #[serde(default = "LimitsSpec::default_related_size")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = rules::RELATED_SIZE.quantity_rule())]
    pub related_size: String,
}

impl LimitsSpec {
    fn default_memory() -> String {
        "64Mi".to_owned()
    }

    fn default_deadline() -> String {
        "1s".to_owned()
    }

    fn default_children() -> i32 {
        100
    }

    fn default_child_size() -> String {
        "256Ki".to_owned()
    }

    fn default_status_size() -> String {
        "256Ki".to_owned()
    }

    fn default_response_size() -> String {
        "4Mi".to_owned()
    }

    fn default_related() -> i32 {
        1000
    }

    fn default_related_size() -> String {
        "4Mi".to_owned()
    }
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            memory: Self::default_memory(),
            deadline: Self::default_deadline(),
            children: Self::default_children(),
            child_size: Self::default_child_size(),
            status_size: Self::default_status_size(),
            response_size: Self::default_response_size(),
            related: Self::default_related(),
            related_size: Self::default_related_size(),
        }
    }
}
