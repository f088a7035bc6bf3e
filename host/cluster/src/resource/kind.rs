use handler_host_core::Kind;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// A kind, as its objects name it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindSpec {
    /// `v1` for the core group, else `group/version`.
    #[schemars(length(max = 317))]
    #[x_kube(validation = rules::api_version())]
    pub api_version: String,
    /// Singular, as objects write it: `ConfigMap`.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rules::kind())]
    pub kind: String,
}

impl From<&Kind> for KindSpec {
    fn from(kind: &Kind) -> Self {
        Self {
            api_version: kind.api_version.clone(),
            kind: kind.kind.clone(),
        }
    }
}
