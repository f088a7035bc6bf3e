use std::time::{Duration, SystemTime};

use crate::{Digest, RolledBack};

/// A module that serves, as the Handler's status records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleRecord {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The world it was built for, such as `handler-host:handler@0.1.0`.
    pub world: String,
    /// Where its bytes were found.
    pub origin: String,
    /// When it took over.
    pub loaded_at: SystemTime,
}

/// One module taking over from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapRecord {
    /// The module before; None for the first.
    pub from: Option<Digest>,
    /// The module since.
    pub to: Digest,
    /// When.
    pub at: SystemTime,
}

/// A module that failed its trial and was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackRecord {
    /// The digest of the module.
    pub digest: Digest,
    /// The digest of the module that serves again.
    pub good: Option<Digest>,
    /// Why it was taken back, for people.
    pub error: String,
    /// When.
    pub at: SystemTime,
}

impl RollbackRecord {
    /// What is kept on disk, of a rollback under a spec.
    pub(super) fn under(&self, spec: Digest) -> RolledBack {
        RolledBack {
            digest: self.digest,
            good: self.good,
            spec,
            error: self.error.clone(),
        }
    }
}

/// What the Handler's status records of its modules. A host that begins to lead reads what the host before
/// it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutRecord {
    /// The generation of the Handler that the record is about.
    pub generation: Option<i64>,
    /// The module that serves.
    pub module: Option<ModuleRecord>,
    /// The last time that a module took over from another.
    pub last_swap: Option<SwapRecord>,
    /// The module that was rolled back under the spec of that generation.
    pub rolled_back: Option<RollbackRecord>,
}

impl RolloutRecord {
    /// The module that had nothing left to prove when the record was written, if a trial takes `window`: the
    /// module that serves, or the one before it while the one that serves may still be on trial.
    #[must_use]
    pub fn proven(&self, window: Duration, now: SystemTime) -> Option<Digest> {
        let module = self.module.as_ref()?;
        let is_on_trial = |swap: &&SwapRecord| {
            // A swap in the future, by a clock that is ahead, was a moment ago.
            let since = now.duration_since(swap.at).unwrap_or_default();
            let rolled_back = self.rolled_back.as_ref();
            let is_rollback = rolled_back.is_some_and(|it| swap.from == Some(it.digest));
            since < window && !is_rollback
        };
        match self.last_swap.as_ref().filter(is_on_trial) {
            Some(swap) => swap.from,
            None => Some(module.digest),
        }
    }
}

#[cfg(test)]
mod tests {
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
        #[case] seconds: u64,
        #[case] proven: Option<&str>,
    ) {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let at = SystemTime::UNIX_EPOCH;
        let record = RolloutRecord {
            generation: None,
            module: Some(ModuleRecord {
                digest: digest(runs),
                world: String::new(),
                origin: String::new(),
                loaded_at: at,
            }),
            last_swap: Some(SwapRecord {
                from: from.map(digest),
                to: digest(runs),
                at,
            }),
            rolled_back: rolled_back.map(|name| RollbackRecord {
                digest: digest(name),
                good: None,
                error: String::new(),
                at,
            }),
        };
        let now = at + Duration::from_secs(seconds);
        let found = record.proven(Duration::from_secs(30), now);
        assert_eq!(found, proven.map(digest));
    }
}
