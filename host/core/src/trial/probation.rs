use super::judgement::{Trial, TrialFailure, TrialProgress};
use crate::{Key, Verdict};

/// The probation of the module that runs: whether it still has to prove itself. `M` is a module.
#[derive(Debug, Default)]
pub enum Probation<M> {
    /// It has nothing to prove.
    #[default]
    Over,
    /// It is on trial. The module before is kept, to compare its answers and to return to it.
    Open {
        /// What is known of it so far.
        trial: Trial,
        /// The module before.
        before: M,
    },
    /// It failed its trial. The host is about to return to the module before.
    Failed {
        /// How it failed.
        failure: TrialFailure,
        /// The module before.
        before: M,
    },
}

/// What follows from one pass while a module may be on trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialStep {
    /// The outcome is reported in the parent's status and Events.
    Report,
    /// The outcome is not reported until the trial is over.
    Withhold,
    /// The outcome is not reported, and with this pass the module failed its trial.
    Fail(TrialFailure),
}

/// The state of the trial of the module that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrialSoFar {
    /// The module is not on trial.
    #[default]
    None,
    /// The module was called for too few parents, or too many of them fail. This is the
    /// judgement if the trial ends now.
    Undecided(Result<(), TrialFailure>),
    /// The module was called for enough parents, and passes if the trial ends now.
    Proven,
}

impl<M: Clone> Probation<M> {
    /// A module on trial beside the one before, which allows this share of parents, 0 to 1, to fail newly.
    #[must_use]
    pub fn open(max_failure_ratio: f64, before: M) -> Self {
        Self::Open {
            trial: Trial::new(max_failure_ratio),
            before,
        }
    }

    /// The module before, while this one is on trial or has failed.
    #[must_use]
    pub fn before(&self) -> Option<&M> {
        match self {
            Self::Over => None,
            Self::Open { before, .. } | Self::Failed { before, .. } => Some(before),
        }
    }

    /// Notes the outcome for one parent, of which there are `parents` in all. `fails_newly` is its verdict if it failed
    /// and would not fail with the module before.
    pub fn note(
        &mut self,
        parent: &Key,
        fails_newly: Option<&Verdict>,
        parents: usize,
    ) -> TrialStep {
        let noted = match self {
            Self::Over => return TrialStep::Report,
            Self::Failed { .. } => Ok(()),
            Self::Open { trial, .. } => trial.note(parent, fails_newly, parents),
        };
        match noted {
            Ok(()) if fails_newly.is_some() => TrialStep::Withhold,
            Ok(()) => TrialStep::Report,
            Err(failure) => {
                self.fail(&failure);
                TrialStep::Fail(failure)
            }
        }
    }

    /// How the trial goes, with so many parents in all.
    #[must_use]
    pub fn progress(&self, parents: usize) -> TrialProgress {
        match self {
            Self::Over => TrialProgress::default(),
            Self::Open { trial, .. } => trial.progress(parents),
            Self::Failed { failure, .. } => TrialProgress {
                parents,
                judged: failure.called,
                failing: failure.failing,
            },
        }
    }

    /// The state of the trial, with so many parents in all.
    #[must_use]
    pub fn so_far(&self, parents: usize) -> TrialSoFar {
        match self {
            Self::Over => TrialSoFar::None,
            Self::Failed { failure, .. } => TrialSoFar::Undecided(Err(failure.clone())),
            Self::Open { trial, .. } => match trial.judge() {
                Ok(()) if trial.is_representative(parents) => TrialSoFar::Proven,
                judged => TrialSoFar::Undecided(judged),
            },
        }
    }

    fn fail(&mut self, failure: &TrialFailure) {
        if let Self::Open { before, .. } = self {
            *self = Self::Failed {
                failure: failure.clone(),
                before: before.clone(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::Reason;

    fn key(number: usize) -> Key {
        Key::new(Some("ns"), &format!("claim-{number}"))
    }

    fn trap() -> Verdict {
        Verdict::new(Reason::Trapped, "unreachable")
    }

    /// A module on trial beside the module `old`, after these parents were called; `!` marks those that fail newly.
    fn on_trial(parents: &[&str]) -> Probation<&'static str> {
        let mut probation = Probation::open(0.5, "old");
        for parent in parents {
            let fails = parent.starts_with('!').then(trap);
            // There are so many parents that no note ends the trial.
            probation.note(&Key::new(None, parent), fails.as_ref(), 1000);
        }
        probation
    }

    fn failed() -> Probation<&'static str> {
        let mut probation = on_trial(&[]);
        let step = probation.note(&Key::new(None, "!a"), Some(&trap()), 1);
        assert!(matches!(step, TrialStep::Fail(_)), "{step:?}");
        probation
    }

    #[rstest]
    #[case::no_trial(Probation::Over, true, 1000, "Report")]
    #[case::a_success(on_trial(&[]), false, 1000, "Report")]
    #[case::a_failure(on_trial(&[]), true, 1000, "Withhold")]
    #[case::a_failure_too_many(on_trial(&[]), true, 1, "Fail")]
    #[case::a_failure_that_is_allowed(on_trial(&["a"]), true, 2, "Withhold")]
    #[case::a_failure_after_the_end(failed(), true, 1, "Withhold")]
    #[case::a_success_after_the_end(failed(), false, 1, "Report")]
    fn a_parent_is_not_told_of_new_failures_during_a_trial(
        #[case] mut probation: Probation<&'static str>,
        #[case] fails: bool,
        #[case] parents: usize,
        #[case] step: &str,
    ) {
        let trap = trap();
        let noted = probation.note(&key(1), fails.then_some(&trap), parents);
        let found = match noted {
            TrialStep::Report => "Report",
            TrialStep::Withhold => "Withhold",
            TrialStep::Fail(_) => "Fail",
        };
        assert_eq!(found, step);
    }

    #[rstest]
    #[case::no_trial(Probation::Over, 1, "none")]
    #[case::never_called(on_trial(&[]), 0, "undecided, passes")]
    #[case::too_few(on_trial(&["a"]), 2, "undecided, passes")]
    #[case::all_of_few(on_trial(&["a", "b"]), 2, "proven")]
    #[case::half_of_them_fail(on_trial(&["a", "!b"]), 2, "proven")]
    #[case::too_many_fail(on_trial(&["!a", "!b"]), 2, "undecided, fails")]
    #[case::it_failed(failed(), 1, "undecided, fails")]
    fn a_module_has_proven_itself_when_enough_parents_do_well(
        #[case] probation: Probation<&'static str>,
        #[case] parents: usize,
        #[case] state: &str,
    ) {
        let so_far = match probation.so_far(parents) {
            TrialSoFar::None => "none",
            TrialSoFar::Proven => "proven",
            TrialSoFar::Undecided(Ok(())) => "undecided, passes",
            TrialSoFar::Undecided(Err(_)) => "undecided, fails",
        };
        assert_eq!(so_far, state);
    }

    #[test]
    fn the_module_before_is_kept_until_the_trial_is_over() {
        assert_eq!(on_trial(&["a"]).before(), Some(&"old"));
        assert_eq!(failed().before(), Some(&"old"));
        assert_eq!(Probation::<&str>::Over.before(), None);
    }
}
