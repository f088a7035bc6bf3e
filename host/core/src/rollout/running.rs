use super::event::{Now, RolloutModule};
use crate::Digest;

/// The module that serves, or will once the kinds are watched.
#[derive(Clone, Debug)]
pub(super) enum Running<M> {
    /// No module serves.
    Nothing,
    /// The module has nothing left to prove.
    Good(M),
    /// The module proves itself beside the good one.
    OnTrial {
        /// The module that serves.
        module: M,
        /// The module that serves again if the trial fails.
        good: M,
        /// When the trial is over. None until the kinds are watched: a module that is not called proves nothing.
        ends: Option<Now>,
    },
}

impl<M: RolloutModule> Running<M> {
    /// The module that serves.
    pub(super) fn module(&self) -> Option<&M> {
        match self {
            Self::Nothing => None,
            Self::Good(module) | Self::OnTrial { module, .. } => Some(module),
        }
    }

    /// The module to return to.
    pub(super) fn good(&self) -> Option<&M> {
        match self {
            Self::Nothing => None,
            Self::Good(good) | Self::OnTrial { good, .. } => Some(good),
        }
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        self.module().map(RolloutModule::digest)
    }

    /// What is left of it under another grant. A module that asks for more than that ends at once.
    pub(super) fn regranted(self, is_granted: impl Fn(&M) -> bool) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Good(module) if is_granted(&module) => Self::Good(module),
            Self::Good(_) => Self::Nothing,
            Self::OnTrial { module, good, .. } => match (is_granted(&module), is_granted(&good)) {
                (true, true) => Self::OnTrial {
                    module,
                    good,
                    // The kinds are looked for anew, and the trial begins anew when they are watched.
                    ends: None,
                },
                // There is no module left to be measured by, or to be returned to.
                (true, false) => Self::Good(module),
                (false, true) => Self::Good(good),
                (false, false) => Self::Nothing,
            },
        }
    }
}
