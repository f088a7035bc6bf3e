use std::sync::Arc;

use super::outcome::PassOutcome;
use crate::{Grant, Kind, Object};

/// What decides about a parent's finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalizerFacts {
    /// Whether the module that runs asks for the finalizer.
    pub is_wanted: bool,
    /// Whether the module before asks for it, while the one that runs is on trial.
    pub is_wanted_by_module_before: bool,
    /// Whether the parent has it.
    pub is_set: bool,
    /// Whether the parent is being deleted.
    pub is_deleting: bool,
}

/// What is to be done with a parent, as far as its finalizer is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalizerStep {
    /// The finalizer is set. The answer is a change of the parent, which leads to its pass.
    Add,
    /// The finalizer is removed: an earlier module left it, and this one need not see the parent go.
    Remove,
    /// The handler is called, if anything changed.
    Reconcile,
    /// The parent keeps the finalizer and waits. The module before wants to see it go, and may be back soon.
    WaitForModuleBefore,
    /// Nothing is left to do: the parent is being deleted, and nothing of the handler holds it.
    Nothing,
}

impl FinalizerFacts {
    /// Decides about a parent.
    #[must_use]
    pub fn step(self) -> FinalizerStep {
        let Self {
            is_wanted,
            is_wanted_by_module_before,
            is_set,
            is_deleting,
        } = self;
        match (is_set, is_deleting) {
            (false, true) => FinalizerStep::Nothing,
            (false, false) if is_wanted => FinalizerStep::Add,
            (false, false) => FinalizerStep::Reconcile,
            (true, _) if is_wanted => FinalizerStep::Reconcile,
            (true, true) if is_wanted_by_module_before => FinalizerStep::WaitForModuleBefore,
            (true, false) if is_wanted_by_module_before => FinalizerStep::Reconcile,
            (true, _) => FinalizerStep::Remove,
        }
    }
}

/// Whether a parent may go after a pass: it is being deleted, no child that was observed goes with it any more,
/// and the handler has nothing left to do for it.
#[must_use]
pub fn may_go(
    parent: &Object,
    children: &[(Kind, Arc<Object>)],
    grant: &Grant,
    outcome: &PassOutcome,
) -> bool {
    let is_held = children.iter().any(|(kind, _)| !grant.keeps(kind));
    parent.is_deleting() && !is_held && outcome.has_nothing_left()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{ChildPolicy, GrantRequest, OnParentDelete, Verdict};

    const NO: bool = false;
    const YES: bool = true;

    #[rstest]
    #[case::a_new_parent_of_a_module_with_finalizer(YES, NO, NO, NO, FinalizerStep::Add)]
    #[case::a_new_parent_of_a_module_without(NO, NO, NO, NO, FinalizerStep::Reconcile)]
    #[case::a_new_parent_while_only_the_module_before_wants_it(
        NO,
        YES,
        NO,
        NO,
        FinalizerStep::Reconcile
    )]
    #[case::a_parent_that_has_it(YES, NO, YES, NO, FinalizerStep::Reconcile)]
    #[case::a_parent_that_has_it_and_goes(YES, NO, YES, YES, FinalizerStep::Reconcile)]
    #[case::a_parent_that_goes_and_never_got_it(YES, NO, NO, YES, FinalizerStep::Nothing)]
    #[case::a_parent_that_goes_without_any(NO, NO, NO, YES, FinalizerStep::Nothing)]
    #[case::left_by_an_earlier_module(NO, NO, YES, NO, FinalizerStep::Remove)]
    #[case::left_by_an_earlier_module_on_a_parent_that_goes(
        NO,
        NO,
        YES,
        YES,
        FinalizerStep::Remove
    )]
    #[case::wanted_by_the_module_before(NO, YES, YES, NO, FinalizerStep::Reconcile)]
    #[case::wanted_by_the_module_before_on_a_parent_that_goes(
        NO,
        YES,
        YES,
        YES,
        FinalizerStep::WaitForModuleBefore
    )]
    #[case::wanted_by_both_on_a_parent_that_goes(YES, YES, YES, YES, FinalizerStep::Reconcile)]
    fn a_finalizer_is_set_once_and_removed_when_no_module_wants_it(
        #[case] is_wanted: bool,
        #[case] is_wanted_by_module_before: bool,
        #[case] is_set: bool,
        #[case] is_deleting: bool,
        #[case] step: FinalizerStep,
    ) {
        let facts = FinalizerFacts {
            is_wanted,
            is_wanted_by_module_before,
            is_set,
            is_deleting,
        };
        assert_eq!(facts.step(), step);
    }

    /// Of a handler that desires no child any more.
    fn nothing_left() -> PassOutcome {
        PassOutcome {
            verdict: Some(Verdict::reconciled(0)),
            ..PassOutcome::default()
        }
    }

    fn one_left() -> PassOutcome {
        PassOutcome {
            desired: 1,
            ..nothing_left()
        }
    }

    #[rstest]
    #[case::nothing_is_left(YES, &[], nothing_left(), YES)]
    #[case::it_is_not_deleted(NO, &[], nothing_left(), NO)]
    #[case::the_handler_desires_a_child(YES, &[], one_left(), NO)]
    #[case::the_pass_gave_no_verdict(YES, &[], PassOutcome::default(), NO)]
    #[case::a_child_goes_with_it(YES, &["Secret"], nothing_left(), NO)]
    #[case::a_child_stays(YES, &["ConfigMap"], nothing_left(), YES)]
    #[case::one_of_each(YES, &["ConfigMap", "Secret"], nothing_left(), NO)]
    #[case::a_child_of_a_kind_that_is_granted_no_more(YES, &["Service"], nothing_left(), NO)]
    fn a_parent_may_go_with_the_last_child_that_goes_with_it(
        #[case] is_deleting: bool,
        #[case] children: &[&str],
        #[case] outcome: PassOutcome,
        #[case] may: bool,
    ) {
        let kind = |name: &str| Kind::new("v1", name).unwrap();
        let child = |name, on_parent_delete| ChildPolicy::new(kind(name), on_parent_delete);
        let request = GrantRequest {
            children: vec![
                child("Secret", OnParentDelete::Delete),
                child("ConfigMap", OnParentDelete::Orphan),
            ],
            ..GrantRequest::new("evc", &kind("Pod"))
        };
        let deletion = is_deleting.then_some("2026-01-01T00:00:00Z");
        let object = |name: &str| {
            let text = json!({"metadata": {"name": "a", "deletionTimestamp": deletion}});
            Object::parse(&kind(name), &text.to_string()).unwrap()
        };
        let children: Vec<_> = children
            .iter()
            .map(|name| (kind(name), Arc::new(object(name))))
            .collect();
        let grant = request.grant().unwrap();
        assert_eq!(may_go(&object("Pod"), &children, &grant, &outcome), may);
    }
}
