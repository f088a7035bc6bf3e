use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use handler_host_core::{
    CallLimits, Description, Digest, Grant, GrantError, Invoke, Key, Probation, TrialFailure,
    TrialProgress, TrialSoFar, TrialStep, Verdict,
};
use parking_lot::Mutex;

/// A module that can serve a handler, and how it is called.
#[derive(Clone)]
pub struct CallableModule {
    /// The module, to be called.
    pub invoke: Arc<dyn Invoke>,
    /// What it described for this config.
    pub description: Description,
    /// The handler's config, JSON text.
    pub config: Arc<str>,
    /// What one call may use.
    pub limits: CallLimits,
}

/// The digest of a module that failed its trial, and how it failed.
pub type FailedTrial = (Digest, TrialFailure);

/// The module that runs. A pass takes it once and keeps it to its end, even if the module is swapped meanwhile.
pub(crate) struct RunningModule {
    pub(crate) invoke: Arc<dyn Invoke>,
    pub(crate) config: Arc<str>,
    /// The part of the grant that the module asks for.
    pub(crate) grant: Grant,
    pub(crate) has_finalizer: bool,
    /// Differs where module, config or limits do, so that a swap has every parent passed over.
    pub(crate) identity: u64,
    probation: Mutex<Probation<Arc<RunningModule>>>,
}

impl RunningModule {
    pub(crate) fn new(active: CallableModule, granted: &Grant) -> Result<Self, GrantError> {
        let mut hasher = DefaultHasher::new();
        active.invoke.digest().hash(&mut hasher);
        active.config.hash(&mut hasher);
        let CallLimits {
            memory,
            deadline,
            response,
        } = active.limits;
        (memory, deadline, response).hash(&mut hasher);
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
    pub(super) fn on_trial(self, max_failure_ratio: f64, before: Arc<RunningModule>) -> Self {
        Self {
            probation: Mutex::new(Probation::open(max_failure_ratio, before)),
            ..self
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        self.invoke.digest()
    }

    /// The module before, while this one is on trial or has failed.
    pub(super) fn before(&self) -> Option<Arc<RunningModule>> {
        self.probation.lock().before().cloned()
    }

    /// Notes the outcome for one parent, of which there are `parents` in all.
    pub(super) fn note(
        &self,
        parent: &Key,
        fails_newly: Option<&Verdict>,
        parents: usize,
    ) -> TrialStep {
        self.probation.lock().note(parent, fails_newly, parents)
    }

    /// How the trial goes, with so many parents in all.
    pub(super) fn progress(&self, parents: usize) -> TrialProgress {
        self.probation.lock().progress(parents)
    }

    /// The state of the trial, with so many parents in all.
    pub(super) fn trial(&self, parents: usize) -> TrialSoFar {
        self.probation.lock().so_far(parents)
    }

    /// The trial is over, and the module passed.
    pub(super) fn pass_trial(&self) {
        *self.probation.lock() = Probation::Over;
    }
}
