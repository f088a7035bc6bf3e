use super::candidate::{CandidateState, HeldPreview};
use super::event::RolloutModule;
use super::leading::Leading;
use super::{Duty, ModuleRecord, PreviewSummary, RollbackRecord, Rollout, RolloutRecord};
use crate::{
    APPROVE_ANNOTATION, ConditionType, Digest, HandlerCondition, HandlerReason, TrialProgress,
};

/// How far a handler is on its way to serving, apart from its module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServingState {
    /// Its kinds are looked for in the cluster. What is missing, and what to do about it, once that is known.
    Looking(Option<String>),
    /// As the cluster is, it can never be served.
    Refused(String),
    /// Its kinds are watched.
    Watching,
    /// It serves.
    Serving {
        /// Which granted kinds of children are missing in the cluster, and what to do about it; None if none is.
        missing: Option<String>,
        /// How the trial of its module goes, if it is on one.
        trial: TrialProgress,
    },
}

/// What the Handler's status says of its modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutStatus {
    /// What a host that begins to lead goes by.
    pub record: RolloutRecord,
    /// The module that waits for approval.
    pub candidate: Option<HeldModule>,
}

/// A module that waits for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldModule {
    /// Its digest: the value to approve it with.
    pub digest: Digest,
    /// What it would change, once that is known.
    pub preview: Option<PreviewSummary>,
}

impl<M: RolloutModule> Rollout<M> {
    /// What the Handler's status says of its modules.
    #[must_use]
    pub fn status(&self) -> RolloutStatus {
        let generation = self.common.generation;
        match &self.duty {
            Duty::StandingBy(_) => RolloutStatus::default(),
            Duty::Leading(leading) => RolloutStatus {
                record: leading.record(generation),
                candidate: leading.held(),
            },
        }
    }

    /// The Handler's conditions. A host that stands by has none to tell.
    #[must_use]
    pub fn conditions(&self, serving: &ServingState) -> Vec<HandlerCondition> {
        let Duty::Leading(leading) = &self.duty else {
            return Vec::new();
        };
        let module_loaded = self.module_loaded(leading);
        let mut conditions = vec![self.ready(serving, &module_loaded), module_loaded];
        conditions.extend(self.common.authorized.clone());
        conditions
    }

    fn ready(&self, serving: &ServingState, module_loaded: &HandlerCondition) -> HandlerCondition {
        let on_trial;
        let (reason, message) = match serving {
            ServingState::Refused(message) => (HandlerReason::Refused, message.as_str()),
            ServingState::Looking(None) => (
                HandlerReason::Pending,
                "Looking for the kinds in the cluster.",
            ),
            ServingState::Looking(Some(missing)) => {
                (HandlerReason::KindNotServed, missing.as_str())
            }
            ServingState::Watching if module_loaded.reason == HandlerReason::Pending => {
                (HandlerReason::Pending, module_loaded.message.as_str())
            }
            ServingState::Watching => (
                HandlerReason::ModuleNotLoaded,
                "No module runs; ModuleLoaded says why.",
            ),
            ServingState::Serving { .. } if self.common.settings.is_paused => (
                HandlerReason::Paused,
                "spec.paused is true: its parents are not looked at, and nothing is written; set it to false to go on.",
            ),
            ServingState::Serving { .. } if self.common.lacks_rights() => (
                HandlerReason::NotAuthorized,
                "Its account lacks rights; Authorized says which.",
            ),
            ServingState::Serving {
                missing: Some(missing),
                ..
            } => (HandlerReason::KindNotServed, missing.as_str()),
            ServingState::Serving { trial, .. } if self.trial_until().is_some() => {
                let TrialProgress {
                    parents,
                    judged,
                    failing,
                } = trial;
                on_trial = format!(
                    "Its parents are served. The module is on trial: {judged} of {parents} parents are judged, and {failing} of them newly fail."
                );
                (HandlerReason::OnTrial, on_trial.as_str())
            }
            ServingState::Serving { .. } => (HandlerReason::Serving, "Its parents are served."),
        };
        HandlerCondition::new(ConditionType::Ready, reason, message)
    }

    fn module_loaded(&self, leading: &Leading<M>) -> HandlerCondition {
        let condition = |reason, message: String| {
            HandlerCondition::new(ConditionType::ModuleLoaded, reason, message)
        };
        let refused = leading.spec_refused.as_ref();
        if let Some(refused) = refused.or(self.common.source.error.as_ref()) {
            return condition(refused.reason, refused.message.clone());
        }
        match &leading.candidate {
            CandidateState::Pending => condition(
                HandlerReason::Pending,
                "The module is being loaded.".to_owned(),
            ),
            CandidateState::Running => {
                let module = leading.running.module();
                let message = module.map_or_else(String::new, |module| {
                    format!("{} from {}", module.digest(), leading.served.origin)
                });
                condition(HandlerReason::Loaded, message)
            }
            CandidateState::Refused { refused, .. } => {
                condition(refused.reason, refused.message.clone())
            }
            CandidateState::Held { module, preview } => self.held_message(module.digest(), preview),
            CandidateState::RolledBack(rolled_back) => {
                let RollbackRecord {
                    digest,
                    good,
                    error,
                    ..
                } = rolled_back;
                let to = good.map_or_else(String::new, |good| format!(" to {good}"));
                condition(
                    HandlerReason::RolledBack,
                    format!(
                        "Module {digest} was rolled back{to}: {error}. It is not tried again until the spec of this Handler changes, or its source gives another module"
                    ),
                )
            }
        }
    }

    fn held_message(&self, digest: Digest, preview: &HeldPreview) -> HandlerCondition {
        let effect = match preview {
            HeldPreview::UnderWay => {
                return HandlerCondition::new(
                    ConditionType::ModuleLoaded,
                    HandlerReason::Previewing,
                    format!("Module {digest} is being previewed."),
                );
            }
            HeldPreview::Failed { error, .. } => format!("could not be previewed ({error})"),
            HeldPreview::Done(counts) => format!(
                "would create {}, change {} and delete {} children, and newly fail for {} of {} parents",
                counts.create, counts.change, counts.delete, counts.failing, counts.parents
            ),
        };
        let name = &self.common.settings.name;
        HandlerCondition::new(
            ConditionType::ModuleLoaded,
            HandlerReason::AwaitingApproval,
            format!(
                "Module {digest} {effect}; approve it: kubectl annotate --overwrite handler {name} {APPROVE_ANNOTATION}={digest}"
            ),
        )
    }
}

impl<M: RolloutModule> Leading<M> {
    fn record(&self, generation: Option<i64>) -> RolloutRecord {
        let module = self.running.module();
        RolloutRecord {
            generation,
            module: module.map(|module| ModuleRecord {
                digest: module.digest(),
                world: module.world(),
                origin: self.served.origin.clone(),
                loaded_at: self.served.loaded_at,
            }),
            last_swap: self.served.last_swap,
            rolled_back: self.rolled_back.clone(),
        }
    }

    /// The module that waits for approval.
    pub(super) fn held(&self) -> Option<HeldModule> {
        let CandidateState::Held { module, preview } = &self.candidate else {
            return None;
        };
        Some(HeldModule {
            digest: module.digest(),
            preview: match preview {
                HeldPreview::UnderWay | HeldPreview::Failed { .. } => None,
                HeldPreview::Done(summary) => Some(*summary),
            },
        })
    }
}
