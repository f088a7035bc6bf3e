use std::time::{Duration, Instant, SystemTime};

use super::Common;
use super::candidate::{CandidateState, HeldPreview};
use super::event::{
    Action, Facts, LoadPurpose, PreviewSummary, Recalled, RolloutModule, RolloutNote, TrialTerms,
};
use super::record::{RollbackRecord, RolloutRecord, SwapRecord};
use super::running::Running;
use crate::{Digest, FetchedModule, GrantRequest, PreviewPolicy, Refused};

/// After what time a load or a preview is tried again that a busy host or API server made fail.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The modules of a handler in the host that leads.
#[derive(Clone, Debug)]
pub(super) struct Leading<M> {
    pub(super) running: Running<M>,
    pub(super) candidate: CandidateState<M>,
    /// The module that failed its trial under the present spec, whether or not the source still gives it.
    pub(super) rolled_back: Option<RollbackRecord>,
    /// Why the spec as it is now cannot be served. The one before goes on.
    pub(super) spec_refused: Option<Refused>,
    pub(super) served: Served,
    /// Modules that were loaded while this host stood by.
    pub(super) preloaded: Vec<M>,
    /// What an earlier host recorded, until a module takes over: the same module taken over again is no swap.
    recorded: RolloutRecord,
}

/// What the status says of the module that serves, beside what the module itself says.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) origin: String,
    pub(super) loaded_at: SystemTime,
    pub(super) last_swap: Option<SwapRecord>,
}

/// Whether a module that was loaded takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// It failed its trial, and is tried again when the spec changes.
    RolledBack,
    /// It waits until it is approved.
    AwaitsApproval,
    /// It takes over, beside the good one until it has proven itself.
    OnTrial,
    /// It takes over at once: it is the first, or known to be good.
    AtOnce,
}

impl<M: RolloutModule> Leading<M> {
    /// Begins to lead. The module that was good before serves at once, whatever the source gives now.
    pub(super) fn begin(
        recalled: Recalled,
        preloaded: Vec<M>,
        common: &Common,
        facts: &Facts,
    ) -> (Self, Vec<Action<M>>) {
        let Recalled { record, kept } = recalled;
        let settings = &common.settings;
        let told = record.rolled_back.as_ref();
        let kept_rollback = kept.rolled_back.filter(|it| it.spec == settings.spec);
        let rolled_back = match kept_rollback {
            Some(module) => {
                let told = told.filter(|told| told.digest == module.digest);
                Some(RollbackRecord {
                    at: told.map_or(facts.now.time, |told| told.at),
                    digest: module.digest,
                    good: module.good,
                    error: module.error,
                })
            }
            None if record.generation == common.generation => told.cloned(),
            None => None,
        };
        // What this host kept may be older: another host served meanwhile.
        let proven = record.proven(settings.rollout.window, facts.now.time);
        let mut known = preloaded.iter();
        let proven = known.find(|module| Some(module.digest()) == proven);
        let good = proven.map(|module| module.fetched().clone()).or(kept.good);
        let is_pinned =
            |good: &FetchedModule| settings.module.pinned.is_none_or(|pin| pin == good.digest);
        let recall = good.filter(is_pinned).map(|module| Action::Load {
            purpose: LoadPurpose::Recall,
            module,
        });
        let mut leading = Self {
            running: Running::Nothing,
            candidate: CandidateState::Pending,
            rolled_back,
            spec_refused: None,
            served: Served {
                origin: String::new(),
                loaded_at: facts.now.time,
                last_swap: None,
            },
            preloaded,
            recorded: record,
        };
        let actions = match recall {
            Some(recall) => vec![recall],
            None => leading.consider(common),
        };
        (leading, actions)
    }

    /// All modules that are loaded, the one that serves last.
    pub(super) fn into_modules(self) -> Vec<M> {
        let mut modules = self.preloaded;
        if let CandidateState::Held { module, .. } = self.candidate {
            modules.push(module);
        }
        match self.running {
            Running::Nothing => {}
            Running::Good(module) => modules.push(module),
            Running::OnTrial { module, good, .. } => modules.extend([good, module]),
        }
        modules
    }

    /// The loaded module of this digest.
    pub(super) fn known(&self, digest: Digest) -> Option<&M> {
        let held = match &self.candidate {
            CandidateState::Held { module, .. } => Some(module),
            CandidateState::Pending
            | CandidateState::Running
            | CandidateState::Refused { .. }
            | CandidateState::RolledBack(_) => None,
        };
        let loaded = [self.running.module(), self.running.good(), held];
        let mut loaded = loaded.into_iter().flatten().chain(&self.preloaded);
        loaded.find(|module| module.digest() == digest)
    }

    /// Another spec is another try of everything.
    pub(super) fn begin_anew(&mut self) {
        self.rolled_back = None;
        self.candidate = CandidateState::Pending;
    }

    /// Other kinds are granted: what runs is what is still granted.
    pub(super) fn regrant(&mut self, common: &Common, facts: &Facts) -> Vec<Action<M>> {
        let grant = GrantRequest::from(&common.settings).grant().ok();
        let is_granted = |module: &M| {
            let grant = grant.as_ref();
            grant.is_some_and(|grant| grant.narrowed_to(module.description()).is_ok())
        };
        let before = self.running.digest();
        let running = std::mem::replace(&mut self.running, Running::Nothing);
        self.running = running.regranted(is_granted);
        let Some(module) = self.running.module().cloned() else {
            return Vec::new();
        };
        if before != Some(module.digest()) {
            self.took_over(&module, before, facts);
        }
        match &self.running {
            Running::Nothing | Running::OnTrial { .. } => Vec::new(),
            Running::Good(good) => vec![Action::Keep(good.fetched().clone())],
        }
    }

    /// The spec changed. If the source gives another module than the one that runs, that one goes on with the
    /// config and limits of now, if it takes them; then the other is considered.
    pub(super) fn renew(&mut self, common: &Common) -> Vec<Action<M>> {
        let latest = common.source.latest.as_ref();
        match self.running.module() {
            Some(running) if latest.map(|latest| latest.digest) != Some(running.digest()) => {
                vec![Action::Load {
                    purpose: LoadPurpose::Renew,
                    module: running.fetched().clone(),
                }]
            }
            Some(_) | None => self.consider(common),
        }
    }

    /// Has the module that the source gave last loaded, unless it runs already.
    pub(super) fn consider(&mut self, common: &Common) -> Vec<Action<M>> {
        let Some(fetched) = &common.source.latest else {
            return Vec::new();
        };
        if let Some(running) = self.running.module()
            && running.digest() == fetched.digest
            && running.spec() == common.settings.spec
        {
            self.candidate = CandidateState::Running;
            self.served.origin.clone_from(&fetched.origin);
            return Vec::new();
        }
        vec![Action::Load {
            purpose: LoadPurpose::Candidate,
            module: fetched.clone(),
        }]
    }

    /// A load ended.
    pub(super) fn loaded(
        &mut self,
        purpose: LoadPurpose,
        result: Result<M, Refused>,
        common: &Common,
        facts: &Facts,
    ) -> Vec<Action<M>> {
        let is_on_trial = matches!(self.running, Running::OnTrial { .. });
        let mut actions = match (purpose, result) {
            (LoadPurpose::Candidate, Ok(module)) => return self.admit(module, common, facts),
            (LoadPurpose::Candidate, Err(refused)) => {
                let is_temporary = refused.is_temporary;
                let retry_at = is_temporary.then(|| facts.now.instant + RETRY_INTERVAL);
                self.candidate = CandidateState::Refused { refused, retry_at };
                return vec![Action::Note(RolloutNote::Refused)];
            }
            (LoadPurpose::Preload, Ok(module)) => {
                self.preloaded.push(module);
                Vec::new()
            }
            (LoadPurpose::Recall, Ok(module)) => self.take_over(module, false, common, facts),
            (LoadPurpose::Renew, Ok(module)) => self.take_over(module, is_on_trial, common, facts),
            (LoadPurpose::Renew, Err(refused)) => {
                self.candidate = CandidateState::Refused {
                    refused,
                    retry_at: None,
                };
                vec![Action::Note(RolloutNote::Refused)]
            }
            // What was good once may not fit the spec of now. The source gives what does.
            (LoadPurpose::Recall | LoadPurpose::Preload, Err(_)) => Vec::new(),
        };
        actions.extend(self.consider(common));
        actions
    }

    fn admit(&mut self, module: M, common: &Common, facts: &Facts) -> Vec<Action<M>> {
        match self.admission(module.digest(), common) {
            Entry::RolledBack => {
                if let Some(rolled_back) = &self.rolled_back {
                    self.candidate = CandidateState::RolledBack(rolled_back.clone());
                }
                Vec::new()
            }
            Entry::AwaitsApproval => {
                self.candidate = CandidateState::Held {
                    module: module.clone(),
                    preview: HeldPreview::UnderWay,
                };
                vec![Action::Preview(module)]
            }
            Entry::OnTrial => self.take_over(module, true, common, facts),
            Entry::AtOnce => self.take_over(module, false, common, facts),
        }
    }

    fn admission(&self, module: Digest, common: &Common) -> Entry {
        let is = |known: Option<Digest>| known == Some(module);
        let rolled_back = self.rolled_back.as_ref();
        if is(rolled_back.map(|it| it.digest)) {
            return Entry::RolledBack;
        }
        let settings = &common.settings;
        let good = self.running.good().map(RolloutModule::digest);
        let is_approved = is(settings.approved) || is(self.running.digest()) || is(good);
        match settings.rollout.preview {
            PreviewPolicy::Required if !is_approved => Entry::AwaitsApproval,
            PreviewPolicy::Required | PreviewPolicy::Optional => {
                if is(good) || good.is_none() {
                    Entry::AtOnce
                } else {
                    // The module that is on trial stays on trial, with whatever config.
                    Entry::OnTrial
                }
            }
        }
    }

    /// Records that a module took over from another.
    pub(super) fn took_over(&mut self, module: &M, from: Option<Digest>, facts: &Facts) {
        let to = module.digest();
        self.served.origin.clone_from(&module.fetched().origin);
        if from == Some(to) {
            return;
        }
        let recorded = std::mem::take(&mut self.recorded);
        match recorded.module.filter(|before| before.digest == to) {
            Some(before) => {
                self.served.loaded_at = before.loaded_at;
                self.served.last_swap = recorded.last_swap;
            }
            None => {
                let at = facts.now.time;
                self.served.loaded_at = at;
                self.served.last_swap = Some(SwapRecord { from, to, at });
            }
        }
    }

    /// The kinds are watched: what runs is served from now on, and a trial begins.
    pub(super) fn serve(&mut self, common: &Common, facts: &Facts) -> Vec<Action<M>> {
        let rollout = common.settings.rollout;
        match &mut self.running {
            Running::Nothing => Vec::new(),
            Running::Good(module) => vec![Action::Run {
                module: module.clone(),
                trial: None,
            }],
            Running::OnTrial { module, good, ends } => {
                *ends = Some(facts.now.after(rollout.window));
                let trial = Some(TrialTerms {
                    max_failure_ratio: rollout.max_failure_ratio,
                    good: good.clone(),
                });
                vec![Action::Run {
                    module: module.clone(),
                    trial,
                }]
            }
        }
    }

    pub(super) fn previewed(
        &mut self,
        digest: Digest,
        result: Result<PreviewSummary, String>,
        facts: &Facts,
    ) {
        // Else another module took its place.
        if let CandidateState::Held { module, preview } = &mut self.candidate
            && module.digest() == digest
        {
            *preview = match result {
                Ok(summary) => HeldPreview::Done(summary),
                Err(error) => HeldPreview::Failed {
                    error,
                    retry_at: Some(facts.now.instant + RETRY_INTERVAL),
                },
            };
        }
    }

    /// When the trial is over.
    pub(super) fn trial_until(&self) -> Option<SystemTime> {
        match &self.running {
            Running::Nothing | Running::Good(_) => None,
            Running::OnTrial { ends, .. } => ends.map(|end| end.time),
        }
    }

    /// The moment at which something is to be done though nothing happens.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let trial = match &self.running {
            Running::Nothing | Running::Good(_) => None,
            Running::OnTrial { ends, .. } => ends.map(|end| end.instant),
        };
        let retry = match &self.candidate {
            CandidateState::Refused { retry_at, .. }
            | CandidateState::Held {
                preview: HeldPreview::Failed { retry_at, .. },
                ..
            } => *retry_at,
            CandidateState::Pending
            | CandidateState::Running
            | CandidateState::Held { .. }
            | CandidateState::RolledBack(_) => None,
        };
        [trial, retry].into_iter().flatten().min()
    }

    pub(super) fn wake(&mut self, common: &Common, facts: &Facts) -> Vec<Action<M>> {
        let now = facts.now.instant;
        let mut actions = Vec::new();
        if let Running::OnTrial { ends, .. } = &mut self.running
            && ends.is_some_and(|end| end.instant <= now)
        {
            if common.lacks_rights() || common.settings.is_paused {
                // A module that could not be tried proves nothing.
                *ends = Some(facts.now.after(common.settings.rollout.window));
            } else {
                *ends = None;
                actions.extend(self.judge(common, facts));
            }
        }
        if let CandidateState::Refused { retry_at, .. }
        | CandidateState::Held {
            preview: HeldPreview::Failed { retry_at, .. },
            ..
        } = &mut self.candidate
            && retry_at.is_some_and(|at| at <= now)
        {
            *retry_at = None;
            actions.extend(self.consider(common));
        }
        actions
    }

    /// Parents are looked at again: the time of a trial begins anew.
    pub(super) fn resume(&mut self, common: &Common, facts: &Facts) {
        if let Running::OnTrial {
            ends: Some(ends), ..
        } = &mut self.running
        {
            *ends = facts.now.after(common.settings.rollout.window);
        }
    }

    /// The account has all rights again: what failed for want of one is tried again.
    pub(super) fn go_on(&mut self, common: &Common) -> Vec<Action<M>> {
        let mut actions = vec![Action::LookAgain];
        if self.rolled_back.is_some() {
            self.begin_anew();
            actions.push(Action::ForgetRolledBack);
            actions.extend(self.consider(common));
        }
        actions
    }
}
