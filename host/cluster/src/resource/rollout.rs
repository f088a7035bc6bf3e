use handler_host_core::PreviewPolicy;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// How a new module takes over.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Whether a new module waits until its digest is approved by the annotation handler-host.dev/approve.
    #[serde(default)]
    pub preview: PreviewSpec,
    /// The share of parents that may fail newly before the host returns to the module before; 1 never
    /// returns.
    #[serde(default = "RolloutSpec::default_max_failure_ratio")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_failure_ratio: f64,
    /// How long failures are watched after a new module took over: 1s to 24h.
    #[serde(default = "RolloutSpec::default_window")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = rules::WINDOW.duration_rule())]
    pub window: String,
}

impl RolloutSpec {
    fn default_max_failure_ratio() -> f64 {
        0.5
    }

    fn default_window() -> String {
        "60s".to_owned()
    }
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self {
            preview: PreviewSpec::default(),
            max_failure_ratio: Self::default_max_failure_ratio(),
            window: Self::default_window(),
        }
    }
}

/// Whether a new module waits for somebody's approval.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreviewSpec {
    /// It takes over at once.
    #[default]
    Optional,
    /// It waits until its digest is approved.
    Required,
}

impl From<PreviewSpec> for PreviewPolicy {
    fn from(preview: PreviewSpec) -> Self {
        match preview {
            PreviewSpec::Optional => Self::Optional,
            PreviewSpec::Required => Self::Required,
        }
    }
}
