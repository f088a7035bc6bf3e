use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::SignedDuration;
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

impl HandlerStatus {
    /// The digest of the module that has nothing to prove any more, of one whose trial takes that long: the one
    /// that serves, or the one before while that may still be on trial.
    #[must_use]
    pub fn proven(&self, window: Duration, now: &Time) -> Option<&str> {
        let module = self.module.as_ref()?;
        let is_on_trial = |swap: &&SwapStatus| {
            let since = now.0.duration_since(swap.at.0);
            let mut rolled_back = self.rolled_back.iter();
            // The way back is no trial.
            SignedDuration::try_from(window).is_ok_and(|window| since < window)
                && rolled_back.all(|it| swap.from.as_ref() != Some(&it.digest))
        };
        match self.last_swap.as_ref().filter(is_on_trial) {
            Some(swap) => swap.from.as_deref(),
            None => Some(&module.digest),
        }
    }
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

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::it_runs_for_long("b", Some("a"), None, 60, Some("b"))]
    #[case::it_may_still_be_on_trial("b", Some("a"), None, 29, Some("a"))]
    #[case::it_is_the_first("b", None, None, 29, None)]
    #[case::it_is_back("a", Some("b"), Some("b"), 1, Some("a"))]
    #[case::another_was_rolled_back_before("c", Some("a"), Some("b"), 1, Some("a"))]
    fn a_module_is_proven_when_it_runs_and_its_trial_is_over(
        #[case] runs: &str,
        #[case] from: Option<&str>,
        #[case] rolled_back: Option<&str>,
        #[case] seconds: i64,
        #[case] proven: Option<&str>,
    ) {
        let at = |second: i64| Time(Timestamp::from_second(second).unwrap());
        let status = HandlerStatus {
            module: Some(ModuleStatus {
                digest: runs.to_owned(),
                short_digest: String::new(),
                world: String::new(),
                origin: String::new(),
                loaded_at: at(0),
            }),
            last_swap: Some(SwapStatus {
                from: from.map(str::to_owned),
                to: runs.to_owned(),
                at: at(0),
            }),
            rolled_back: rolled_back.map(|digest| RollbackStatus {
                digest: digest.to_owned(),
                to: String::new(),
                error: String::new(),
                at: at(0),
            }),
            ..HandlerStatus::default()
        };
        assert_eq!(status.proven(Duration::from_secs(30), &at(seconds)), proven);
    }
}
