use std::time::{Duration, Instant, SystemTime};

use super::record::RolloutRecord;
use crate::{
    Description, Digest, FetchedModule, HandlerCondition, KeptModules, Refused, RolledBack,
    Settings, TrialFailure, TrialSoFar,
};

/// A module that may take over: compiled, described for the config of a spec, and within its grant.
pub trait RolloutModule: Clone {
    /// The module as its source held it.
    fn fetched(&self) -> &FetchedModule;
    /// The digest of the spec that it was loaded for.
    fn spec(&self) -> Digest;
    /// What it says it is, with the config of that spec.
    fn description(&self) -> &Description;
    /// The world it was built for, such as `handler-host:handler@0.1.0`.
    fn world(&self) -> String;

    /// The digest of its bytes.
    fn digest(&self) -> Digest {
        self.fetched().digest
    }
}

/// The time of an event, by the clock that measures spans and by the one that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For spans.
    pub instant: Instant,
    /// For statuses.
    pub time: SystemTime,
}

impl Now {
    /// This moment and a span after it.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self {
            instant: self.instant + span,
            time: self.time + span,
        }
    }
}

/// What is known beside an event when it is handled.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When the event is handled.
    pub now: Now,
    /// How the trial stands, if there is one.
    pub trial: TrialSoFar,
}

/// Why a module is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPurpose {
    /// To be at hand when this host begins to lead.
    Preload,
    /// To serve at once when this host begins to lead: the module was good before.
    Recall,
    /// To go on with the config and limits of a changed spec: the module runs already.
    Renew,
    /// To take over, if it may: the source gives it.
    Candidate,
}

/// What a module would change, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreviewSummary {
    /// Parents that were looked at.
    pub parents: usize,
    /// Children that it would create.
    pub create: usize,
    /// Children that it would change.
    pub change: usize,
    /// Children that it would delete.
    pub delete: usize,
    /// Parents that it would newly fail for.
    pub failing: usize,
}

/// What a host finds when it begins to lead.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// What the Handler's status records, by whichever host led before.
    pub record: RolloutRecord,
    /// What this host kept on its own disk.
    pub kept: KeptModules,
}

/// What can happen to a rollout.
#[derive(Clone, Debug)]
pub enum RolloutEvent<M> {
    /// This host begins to lead: from now on it serves, and says how the handler stands.
    Leads(Box<Recalled>),
    /// This host leads no more, or never did: it keeps everything ready, and says nothing.
    StandsBy,
    /// The Handler was changed.
    Changed {
        /// What it says now.
        settings: Box<Settings>,
        /// In which generation; None for a Handler that is not in the cluster.
        generation: Option<i64>,
    },
    /// The Handler was changed into one that cannot be served. What it said before goes on.
    SpecRefused {
        /// Why.
        refused: Refused,
        /// In which generation.
        generation: Option<i64>,
    },
    /// The source gave a module.
    Fetched(FetchedModule),
    /// The source gives no module now.
    FetchFailed(Refused),
    /// A load that was asked for ended.
    Loaded {
        /// Why it was asked for.
        purpose: LoadPurpose,
        /// The digest of the spec for which the module was loaded.
        spec: Digest,
        /// The module, or why it may not take over.
        result: Box<Result<M, Refused>>,
    },
    /// A preview ended.
    Previewed {
        /// The module.
        digest: Digest,
        /// What it would change, or why that could not be found out.
        result: Result<PreviewSummary, String>,
    },
    /// All granted kinds were found in the cluster and are watched: from now on a module can serve.
    KindsWatched,
    /// A granted kind is no longer served as it was found: it came, went, or is another one.
    KindsChanged,
    /// Too many parents failed newly with a module on trial.
    TrialFailed {
        /// The module.
        digest: Digest,
        /// What happened.
        failure: TrialFailure,
    },
    /// The rights of the handler's account were reviewed: the condition `Authorized`.
    Reviewed(HandlerCondition),
    /// The time came that [`Rollout::wakes_at`](super::Rollout::wakes_at) named.
    Woke,
}

/// How a module on trial is judged.
#[derive(Clone, Debug)]
pub struct TrialTerms<M> {
    /// The share of parents, 0 to 1, that may fail newly.
    pub max_failure_ratio: f64,
    /// The module that is asked what it would have done, and that serves again if the trial fails.
    pub good: M,
}

/// What is to be done. Whoever carries it out keeps nothing about modules.
#[derive(Clone, Debug)]
pub enum Action<M> {
    /// Look for the granted kinds anew, and watch them. What was served ends; calls under way may take so long.
    Watch {
        /// The longest that a call under way may still take.
        deadline: Duration,
    },
    /// Follow the module source of the settings, and no other any more.
    Follow,
    /// Load a module: compile it unless it is known, describe it for the settings, compare with the grant.
    Load {
        /// Why.
        purpose: LoadPurpose,
        /// The module.
        module: FetchedModule,
    },
    /// Serve with this module from now on, as soon as the kinds are watched.
    Run {
        /// The module.
        module: M,
        /// On trial, or not.
        trial: Option<TrialTerms<M>>,
    },
    /// The trial is over and passed: parents are told what was withheld from them.
    EndTrial,
    /// Look at every parent as if none had been seen.
    LookAgain,
    /// Find out what a module would change. A preview under way ends.
    Preview(M),
    /// Keep this module on disk as the good one.
    Keep(FetchedModule),
    /// Note on disk that a module was rolled back.
    KeepRolledBack(RolledBack),
    /// Forget on disk what was rolled back.
    ForgetRolledBack,
    /// Log and count what happened.
    Note(RolloutNote),
}

/// What happened to a module, for the log and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutNote {
    /// It took over.
    Swapped {
        /// The module before.
        from: Option<Digest>,
        /// The module since.
        to: Digest,
        /// Where its bytes were found.
        origin: String,
    },
    /// It passed its trial.
    Passed(Digest),
    /// It failed its trial, and the good module serves again.
    RolledBack(Digest),
    /// It may not take over.
    Refused,
}
