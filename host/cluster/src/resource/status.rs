use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::spec::KindSpec;

/// What the host says of a handler.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandlerStatus {
    /// The generation of the Handler that the rest is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,
    /// `Ready`: whether it serves. `ModuleLoaded`: whether the module that the spec names could be loaded.
    /// `Authorized`: whether its account may do all that serving it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The module that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ModuleStatus")]
    pub module: Option<ModuleStatus>,
    /// What the module describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KindsStatus")]
    pub described: Option<KindsStatus>,
    /// What it is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KindsStatus")]
    pub granted: Option<KindsStatus>,
    /// How many parents there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub parents: Option<i64>,
    /// How many of them fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub failing_parents: Option<i64>,
    /// The last time that a module took over from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SwapStatus")]
    pub last_swap: Option<SwapStatus>,
    /// A module that waits for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CandidateStatus")]
    pub candidate: Option<CandidateStatus>,
    /// A module that the host took back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RollbackStatus")]
    pub rolled_back: Option<RollbackStatus>,
    /// How often the handler was asked since this host started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub calls: Option<i64>,
    /// How many of these calls were answered from memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub memo_hits: Option<i64>,
}

/// A module that serves.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleStatus {
    /// The digest of its bytes.
    pub digest: String,
    /// The first 12 digits of that, for tables.
    pub short_digest: String,
    /// The world it was built for, such as `handler-host:handler@0.1.0`.
    pub world: String,
    /// Where it came from.
    pub origin: String,
    /// When it was loaded.
    pub loaded_at: Time,
}

/// The kinds of parents and children.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindsStatus {
    /// The parents' kind.
    pub parent: KindSpec,
    /// The children's kinds.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub children: Vec<KindSpec>,
    /// Whether parents get a finalizer; only a module knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub finalizer: Option<bool>,
}

/// One module taking over from another.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapStatus {
    /// The digest of the module before; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub from: Option<String>,
    /// The digest of the module since.
    pub to: String,
    /// When.
    pub at: Time,
}

/// A module that waits for approval.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateStatus {
    /// Its digest: the value to approve it with.
    pub digest: String,
    /// What it would do; absent until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PreviewCounts")]
    pub preview: Option<PreviewCounts>,
}

/// What a module would do.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewCounts {
    /// Parents that were looked at.
    pub parents: i64,
    /// Children it would create.
    pub create: i64,
    /// Children it would change.
    pub change: i64,
    /// Children it would delete.
    pub delete: i64,
    /// Parents that it would fail for.
    pub failing: i64,
}

/// A module that the host took back.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackStatus {
    /// The digest of the module that was taken back.
    pub digest: String,
    /// The digest of the module that serves again.
    pub to: String,
    /// Why.
    pub error: String,
    /// When.
    pub at: Time,
}
