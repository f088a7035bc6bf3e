use super::Common;
use super::candidate::CandidateState;
use super::event::{Action, Facts, RolloutModule, RolloutNote, TrialTerms};
use super::leading::Leading;
use super::record::RollbackRecord;
use super::running::Running;
use crate::{Digest, TrialFailure, TrialSoFar};

/// How a module takes over, proves itself, and is taken back.
impl<M: RolloutModule> Leading<M> {
    /// Publishes a module: on trial beside the good one, or at once, which makes it the good one.
    pub(super) fn take_over(
        &mut self,
        module: M,
        is_on_trial: bool,
        common: &Common,
        facts: &Facts,
    ) -> Vec<Action<M>> {
        let mut actions = Vec::new();
        let (from, to) = (self.running.digest(), module.digest());
        if from != Some(to) && facts.trial == TrialSoFar::Proven {
            // If this module is bad, the host returns to the one that has just proven itself, not to an older one.
            actions.extend(self.pass_trial());
        }
        let rollout = common.settings.rollout;
        let good = self.running.good().filter(|_| is_on_trial).cloned();
        let trial = good.clone().map(|good| TrialTerms {
            max_failure_ratio: rollout.max_failure_ratio,
            good,
        });
        actions.push(Action::Run {
            module: module.clone(),
            trial,
        });
        if from != Some(to) {
            actions.push(Action::Note(RolloutNote::Swapped {
                from,
                to,
                origin: module.fetched().origin.clone(),
            }));
        }
        self.took_over(&module, from, facts);
        self.candidate = CandidateState::Running;
        self.running = match good {
            Some(good) => Running::OnTrial {
                module,
                good,
                ends: common.is_watching.then(|| facts.now.after(rollout.window)),
            },
            None => {
                actions.push(Action::Keep(module.fetched().clone()));
                Running::Good(module)
            }
        };
        actions
    }

    pub(super) fn judge(&mut self, common: &Common, facts: &Facts) -> Vec<Action<M>> {
        match &facts.trial {
            TrialSoFar::None => Vec::new(),
            TrialSoFar::Proven | TrialSoFar::Undecided(Ok(())) => self.pass_trial(),
            TrialSoFar::Undecided(Err(failure)) => self.roll_back(failure, common, facts),
        }
    }

    /// The module on trial becomes the good one.
    fn pass_trial(&mut self) -> Vec<Action<M>> {
        let Running::OnTrial { module, .. } = &self.running else {
            return Vec::new();
        };
        let module = module.clone();
        let actions = vec![
            Action::EndTrial,
            Action::Note(RolloutNote::Passed(module.digest())),
            Action::Keep(module.fetched().clone()),
        ];
        self.running = Running::Good(module);
        actions
    }

    /// A trial failed before its time was over.
    pub(super) fn trial_failed(
        &mut self,
        digest: Digest,
        failure: &TrialFailure,
        common: &Common,
        facts: &Facts,
    ) -> Vec<Action<M>> {
        // Else it is news of a module that was replaced meanwhile.
        if self.running.digest() == Some(digest) {
            return self.roll_back(failure, common, facts);
        }
        Vec::new()
    }

    /// The good module serves again: module, config and limits as they were.
    fn roll_back(
        &mut self,
        failure: &TrialFailure,
        common: &Common,
        facts: &Facts,
    ) -> Vec<Action<M>> {
        let Running::OnTrial { module, good, .. } = &self.running else {
            return Vec::new();
        };
        let (digest, good) = (module.digest(), good.clone());
        let rolled_back = RollbackRecord {
            digest,
            good: Some(good.digest()),
            error: format!(
                "{} of {} parents called failed that did not fail with the module before; the first: {}",
                failure.failing, failure.called, failure.first_error
            ),
            at: facts.now.time,
        };
        self.took_over(&good, Some(digest), facts);
        let keep = Action::KeepRolledBack(rolled_back.under(common.settings.spec));
        self.rolled_back = Some(rolled_back.clone());
        self.candidate = CandidateState::RolledBack(rolled_back);
        self.running = Running::Good(good.clone());
        vec![
            Action::Run {
                module: good,
                trial: None,
            },
            Action::Note(RolloutNote::RolledBack(digest)),
            keep,
        ]
    }
}
