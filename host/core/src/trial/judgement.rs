use std::collections::HashMap;

use crate::{Key, Verdict};

/// How many parents the module must have been called for before it is judged; all of them, if there are fewer. One
/// parent out of thousands says nothing about a module, and twenty failures are enough harm.
const SAMPLE: usize = 20;

/// The trial of a new module. For a while after the swap, parents that fail and would not fail with the module before are
/// counted, and these failures are not written into statuses or Events. If there are too many, the host returns to the
/// module before.
#[derive(Clone, Debug)]
pub struct Trial {
    max_failure_ratio: f64,
    /// Each parent that the module was called for so far, and whether it fails newly.
    parents: HashMap<Key, bool>,
    failing: usize,
    first_error: Option<String>,
}

/// How a trial goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialProgress {
    /// All parents.
    pub parents: usize,
    /// Parents on which there is a verdict with the module.
    pub judged: usize,
    /// Those of them that newly fail.
    pub failing: usize,
}

/// A module that failed its trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialFailure {
    /// Parents that fail newly.
    pub failing: usize,
    /// Parents that the module was called for.
    pub called: usize,
    /// The parent that failed first, and why.
    pub first_error: String,
}

impl Trial {
    /// A trial that allows this share of parents, 0 to 1, to fail newly.
    #[must_use]
    pub fn new(max_failure_ratio: f64) -> Self {
        Self {
            max_failure_ratio,
            parents: HashMap::new(),
            failing: 0,
            first_error: None,
        }
    }

    /// Notes the outcome for one parent, of which there are `parents` in all. An error ends the trial.
    ///
    /// # Errors
    ///
    /// When too many fail newly.
    pub fn note(
        &mut self,
        parent: &Key,
        fails_newly: Option<&Verdict>,
        parents: usize,
    ) -> Result<(), TrialFailure> {
        let before = self.parents.insert(parent.clone(), fails_newly.is_some());
        self.failing -= usize::from(before == Some(true));
        if let Some(verdict) = fails_newly {
            self.failing += 1;
            let (reason, message) = (verdict.reason.as_str(), &verdict.message);
            self.first_error
                .get_or_insert_with(|| format!("{parent}: {reason}: {message}"));
        }
        if self.is_representative(parents) {
            self.judge()
        } else {
            Ok(())
        }
    }

    /// How it goes, with so many parents in all.
    #[must_use]
    pub fn progress(&self, parents: usize) -> TrialProgress {
        TrialProgress {
            parents,
            judged: self.parents.len(),
            failing: self.failing,
        }
    }

    /// Whether the module was called for enough of the `parents` to judge it.
    #[must_use]
    pub fn is_representative(&self, parents: usize) -> bool {
        // A module that was never called has not proven itself.
        self.parents.len() >= SAMPLE.min(parents.max(1))
    }

    /// Judges the module by the parents that it was called for so far.
    ///
    /// # Errors
    ///
    /// When too many fail newly.
    pub fn judge(&self) -> Result<(), TrialFailure> {
        let called = self.parents.len();
        #[allow(clippy::cast_precision_loss, reason = "counts of parents")]
        let ratio = self.failing as f64 / called.max(1) as f64;
        if ratio > self.max_failure_ratio {
            return Err(TrialFailure {
                failing: self.failing,
                called,
                first_error: self.first_error.clone().unwrap_or_default(),
            });
        }
        Ok(())
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

    /// How many of `parents` were called when the trial ended; None if it never did.
    fn ended_after(ratio: f64, parents: usize, fails: impl Fn(usize) -> bool) -> Option<usize> {
        let mut trial = Trial::new(ratio);
        let trap = trap();
        (0..parents)
            .find(|n| {
                trial
                    .note(&key(*n), fails(*n).then_some(&trap), parents)
                    .is_err()
            })
            .map(|n| n + 1)
    }

    #[rstest]
    #[case::all_of_many(0.5, 1000, 1, Some(20))]
    #[case::all_of_few(0.5, 3, 1, Some(3))]
    #[case::the_only_one(0.5, 1, 1, Some(1))]
    #[case::half_is_not_more_than_half(0.5, 1000, 2, None)]
    #[case::a_tenth_of_what_is_allowed_to_be_none(0.0, 1000, 10, Some(20))]
    #[case::whatever_happens(1.0, 1000, 1, None)]
    fn a_trial_ends_when_too_many_of_a_sample_fail(
        #[case] ratio: f64,
        #[case] parents: usize,
        #[case] every: usize,
        #[case] ended: Option<usize>,
    ) {
        // The first does not fail where not all do.
        let fails = |n: usize| n % every == every - 1;
        assert_eq!(ended_after(ratio, parents, fails), ended);
    }

    #[test]
    fn a_parent_counts_once_and_as_it_stands_last() {
        let mut trial = Trial::new(0.4);
        for _ in 0..50 {
            trial.note(&key(1), Some(&trap()), 1000).unwrap();
        }
        let failure = trial.judge().unwrap_err();
        assert_eq!((failure.failing, failure.called), (1, 1));
        assert_eq!(failure.first_error, "ns/claim-1: Trapped: unreachable");
        trial.note(&key(1), None, 1000).unwrap();
        assert_eq!(trial.judge(), Ok(()));
    }
}
