use std::time::{Duration, SystemTime};

use handler_host_core::{
    Description, HandlerCondition, HeldModule, ModuleRecord, PreviewSummary, RollbackRecord,
    Rollout, RolloutModule, RolloutRecord, RolloutStatus, Settings, SwapRecord, TrialProgress,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::kind::KindSpec;

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
    /// The trial of the module that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrialStatus")]
    pub trial: Option<TrialStatus>,
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
    /// The status of a Handler, without its counts.
    #[must_use]
    pub fn of<M: RolloutModule>(rollout: &Rollout<M>, conditions: &[HandlerCondition]) -> Self {
        let settings = rollout.settings();
        let RolloutStatus { record, candidate } = rollout.status();
        Self {
            module: record.module.map(ModuleStatus::from),
            described: rollout.described().map(KindsStatus::described),
            granted: Some(KindsStatus::granted(settings)),
            last_swap: record.last_swap.map(SwapStatus::from),
            candidate: candidate.map(CandidateStatus::from),
            rolled_back: record.rolled_back.map(RollbackStatus::from),
            ..Self::of_conditions(conditions, record.generation)
        }
    }

    /// The status of a Handler of which nothing is known but these conditions.
    #[must_use]
    pub fn of_conditions(conditions: &[HandlerCondition], generation: Option<i64>) -> Self {
        let conditions = conditions.iter();
        Self {
            observed_generation: generation,
            conditions: conditions.map(|it| condition(it, generation)).collect(),
            ..Self::default()
        }
    }

    /// What the status records of modules, for a host that begins to lead. What cannot be read is left out.
    #[must_use]
    pub fn record(&self) -> RolloutRecord {
        let module = self.module.as_ref().and_then(|module| {
            Some(ModuleRecord {
                digest: module.digest.parse().ok()?,
                world: module.world.clone(),
                origin: module.origin.clone(),
                loaded_at: system_time(&module.loaded_at),
            })
        });
        let last_swap = self.last_swap.as_ref().and_then(|swap| {
            Some(SwapRecord {
                from: match &swap.from {
                    Some(from) => Some(from.parse().ok()?),
                    None => None,
                },
                to: swap.to.parse().ok()?,
                at: system_time(&swap.at),
            })
        });
        let rolled_back = self.rolled_back.as_ref().and_then(|rolled_back| {
            Some(RollbackRecord {
                digest: rolled_back.digest.parse().ok()?,
                good: rolled_back.to.parse().ok(),
                error: rolled_back.error.clone(),
                at: system_time(&rolled_back.at),
            })
        });
        RolloutRecord {
            generation: self.observed_generation,
            module,
            last_swap,
            rolled_back,
        }
    }
}

/// A condition as the status writes it. What writes the status knows when it last changed.
fn condition(condition: &HandlerCondition, generation: Option<i64>) -> Condition {
    let status = if condition.is_true() { "True" } else { "False" };
    Condition {
        type_: condition.type_.as_str().to_owned(),
        status: status.to_owned(),
        reason: condition.reason.as_str().to_owned(),
        message: condition.message.clone(),
        observed_generation: generation,
        last_transition_time: time(SystemTime::now()),
    }
}

/// A time as statuses write it, in whole seconds.
fn time(time: SystemTime) -> Time {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}

fn system_time(time: &Time) -> SystemTime {
    let seconds = u64::try_from(time.0.as_second()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The trial of a module that has to prove itself.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrialStatus {
    /// When it is over, if it does not fail before.
    pub until: Time,
    /// Parents on which there is a verdict with the module.
    pub judged: i64,
    /// Those of them that newly fail. Their own status does not say so until the trial is over.
    pub failing: i64,
}

impl TrialStatus {
    /// A trial that is over at this time, and how it goes.
    #[must_use]
    pub fn new(until: SystemTime, progress: TrialProgress) -> Self {
        Self {
            until: time(until),
            judged: i64::try_from(progress.judged).unwrap_or(i64::MAX),
            failing: i64::try_from(progress.failing).unwrap_or(i64::MAX),
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
    /// Where it came from. After a rollback there may be another module by now.
    pub origin: String,
    /// When it was loaded.
    pub loaded_at: Time,
}

impl From<ModuleRecord> for ModuleStatus {
    fn from(record: ModuleRecord) -> Self {
        Self {
            digest: record.digest.to_string(),
            short_digest: record.digest.short(),
            world: record.world,
            origin: record.origin,
            loaded_at: time(record.loaded_at),
        }
    }
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
    /// The kinds of other objects that it sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub related: Vec<KindSpec>,
    /// To what the time of day that it is told is rounded down, such as `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub clock: Option<String>,
    /// Whether parents get a finalizer; only a module knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub finalizer: Option<bool>,
}

impl KindsStatus {
    fn described(description: &Description) -> Self {
        Self {
            parent: KindSpec::from(&description.parent),
            children: description.children.iter().map(KindSpec::from).collect(),
            related: description.related.iter().map(KindSpec::from).collect(),
            clock: description.clock.map(|it| format!("{it:?}")),
            finalizer: Some(description.has_finalizer),
        }
    }

    fn granted(settings: &Settings) -> Self {
        let children = settings.children.iter();
        let mut related: Vec<KindSpec> = Vec::new();
        for policy in &settings.related {
            let kind = KindSpec::from(&policy.kind);
            if !related.contains(&kind) {
                related.push(kind);
            }
        }
        Self {
            parent: KindSpec::from(&settings.parent),
            children: children.map(|child| KindSpec::from(&child.kind)).collect(),
            related,
            clock: settings.clock.map(|it| format!("{it:?}")),
            finalizer: None,
        }
    }
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

impl From<SwapRecord> for SwapStatus {
    fn from(record: SwapRecord) -> Self {
        Self {
            from: record.from.map(|from| from.to_string()),
            to: record.to.to_string(),
            at: time(record.at),
        }
    }
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

impl From<HeldModule> for CandidateStatus {
    fn from(held: HeldModule) -> Self {
        Self {
            digest: held.digest.to_string(),
            preview: held.preview.map(PreviewCounts::from),
        }
    }
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
    /// Parents that it would newly fail for.
    pub failing: i64,
}

impl From<PreviewSummary> for PreviewCounts {
    fn from(summary: PreviewSummary) -> Self {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            parents: number(summary.parents),
            create: number(summary.create),
            change: number(summary.change),
            delete: number(summary.delete),
            failing: number(summary.failing),
        }
    }
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

impl From<RollbackRecord> for RollbackStatus {
    fn from(record: RollbackRecord) -> Self {
        Self {
            digest: record.digest.to_string(),
            to: record
                .good
                .map_or_else(String::new, |good| good.to_string()),
            error: record.error,
            at: time(record.at),
        }
    }
}
