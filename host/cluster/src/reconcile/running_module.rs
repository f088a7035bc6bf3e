use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use handler_host_core::{
    CallLimits, Description, Digest, Grant, GrantError, Invoke, Key, Trial, TrialFailure, TrialSoFar, Verdict,
};
use parking_lot::Mutex;

/// A module to serve with: what is called, what it said it is, and the config it is called with.
#[derive(Clone)]
pub struct Active {
    /// The handler.
    pub invoke: Arc<dyn Invoke>,
    /// What it says it is.
    pub description: Description,
    /// Its config, JSON text.
    pub config: Arc<str>,
    /// What its calls may use.
    pub limits: CallLimits,
}

/// A trial that failed, and the module it was of.
pub type FailedTrial = (Digest, TrialFailure);

/// A module at work. A pass takes it once and keeps it to its end, whatever is swapped in meanwhile.
pub(crate) struct RunningModule {
    pub(crate) invoke: Arc<dyn Invoke>,
    pub(crate) config: Arc<str>,
    /// What is granted, less what the module does not describe.
    pub(crate) grant: Grant,
    pub(crate) has_finalizer: bool,
    /// Differs where module, config or limits do: what one left behind is news to the other.
    pub(crate) identity: u64,
    probation: Mutex<Probation>,
}

/// Whether a module must still prove itself.
enum Probation {
    Over,
    /// Beside the module before, which is asked what it would have said.
    Open(Trial, Arc<RunningModule>),
    /// It failed; the module before is on its way back.
    Failed(TrialFailure, Arc<RunningModule>),
}

impl RunningModule {
    pub(crate) fn new(active: Active, granted: &Grant) -> Result<Self, GrantError> {
        let mut hasher = DefaultHasher::new();
        active.invoke.digest().hash(&mut hasher);
        active.config.hash(&mut hasher);
        (active.limits.memory, active.limits.deadline).hash(&mut hasher);
        Ok(Self {
            grant: granted.narrowed_to(&active.description)?,
            has_finalizer: active.description.has_finalizer,
            invoke: active.invoke,
            config: active.config,
            identity: hasher.finish(),
            probation: Mutex::new(Probation::Over),
        })
    }

    /// Puts the module on trial beside the one before.
    pub(crate) fn on_trial(self, trial: Trial, before: Arc<RunningModule>) -> Self {
        Self {
            probation: Mutex::new(Probation::Open(trial, before)),
            ..self
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        self.invoke.digest()
    }

    /// The module before, while this one is on trial or on its way out.
    pub(crate) fn before(&self) -> Option<Arc<RunningModule>> {
        match &*self.probation.lock() {
            Probation::Open(_, before) | Probation::Failed(_, before) => Some(before.clone()),
            Probation::Over => None,
        }
    }

    /// Notes what became of a parent. Whether a failure is to be withheld from the parent; and, once, that
    /// the trial failed.
    pub(crate) fn note(
        &self,
        parent: &Key,
        fails_newly: Option<&Verdict>,
        parents: usize,
    ) -> (bool, Option<TrialFailure>) {
        let mut probation = self.probation.lock();
        match &mut *probation {
            Probation::Over => (false, None),
            Probation::Failed(..) => (fails_newly.is_some(), None),
            Probation::Open(trial, before) => match trial.note(parent, fails_newly, parents) {
                Ok(()) => (fails_newly.is_some(), None),
                Err(failure) => {
                    *probation = Probation::Failed(failure.clone(), before.clone());
                    (true, Some(failure))
                }
            },
        }
    }

    /// How its trial stands, with so many parents there are.
    pub(crate) fn trial(&self, parents: usize) -> TrialSoFar {
        match &*self.probation.lock() {
            Probation::Over => TrialSoFar::None,
            Probation::Failed(failure, _) => TrialSoFar::Undecided(Err(failure.clone())),
            Probation::Open(trial, _) => match trial.judge() {
                Ok(()) if trial.is_representative(parents) => TrialSoFar::Proven,
                judged => TrialSoFar::Undecided(judged),
            },
        }
    }

    /// The trial is over, and passed.
    pub(crate) fn pass_trial(&self) {
        *self.probation.lock() = Probation::Over;
    }
}
