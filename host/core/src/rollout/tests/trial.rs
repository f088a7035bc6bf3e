//! A module proves itself beside the good one (ADR 0013, the suite rollback).

use std::time::Duration;

use rstest::rstest;

use super::scenario::TestStep::{
    Config, DoesBadly, DoesWell, Fails, Fetch, Grant, Kinds, Pass, Pause, Rights, Source,
};
use super::scenario::{Scenario, TestStep, WINDOW, digest};
use crate::ConditionType;
use crate::rollout::RolloutNote;

const TRIAL: [TestStep; 3] = [Kinds, Fetch("one"), Fetch("two")];
const ALMOST: Duration = Duration::from_secs(59);

#[rstest]
#[case::it_goes_on_until_its_time_is_over(&[Pass(ALMOST)], "two beside one, Loaded, OnTrial")]
#[case::then_the_module_is_good(&[Pass(WINDOW)], "two, Loaded, Serving")]
#[case::too_many_failures_end_it_at_once(&[Fails("two")], "one, RolledBack, Serving")]
#[case::or_at_its_end(&[DoesBadly, Pass(WINDOW)], "one, RolledBack, Serving")]
#[case::what_failed_is_not_tried_again(&[Fails("two"), Fetch("two")], "one, RolledBack, Serving")]
#[case::another_one_is(&[Fails("two"), Fetch("three")], "three beside one, Loaded, OnTrial")]
#[case::nor_is_it_tried_after_another_one(
    &[Fails("two"), Fetch("three"), Fetch("two")], "three beside one, RolledBack, OnTrial")]
#[case::under_another_spec_it_is_tried(&[Fails("two"), Config("b")], "two beside one, Loaded, OnTrial")]
#[case::news_of_a_module_that_was_replaced_is_none(
    &[Fetch("three"), Fails("two")], "three beside one, Loaded, OnTrial")]
#[case::news_after_the_trial_is_none(&[Pass(WINDOW), Fails("two")], "two, Loaded, Serving")]
#[case::one_that_did_well_is_the_one_to_return_to(
    &[DoesWell, Fetch("three")], "three beside two, Loaded, OnTrial")]
#[case::and_it_is_returned_to(&[DoesWell, Fetch("three"), Fails("three")], "two, RolledBack, Serving")]
#[case::one_that_did_not_is_not(&[DoesBadly, Fetch("three")], "three beside one, Loaded, OnTrial")]
#[case::another_config_begins_the_trial_anew(
    &[Pass(ALMOST), Config("b"), Pass(ALMOST)], "two beside one, Loaded, OnTrial")]
#[case::without_rights_a_module_proves_nothing(
    &[Rights(false), DoesBadly, Pass(WINDOW)], "two beside one, Loaded, NotAuthorized")]
#[case::with_them_again_it_is_judged_when_its_time_is_over(
    &[Rights(false), Pass(WINDOW), Rights(true), Pass(WINDOW)], "two, Loaded, Serving")]
#[case::what_failed_for_want_of_a_right_is_tried_again(
    &[Rights(false), Fails("two"), Rights(true)], "two beside one, Loaded, OnTrial")]
#[case::while_it_is_paused_a_module_proves_nothing(
    &[Pause(true), DoesBadly, Pass(WINDOW)], "two beside one, Loaded, Paused")]
#[case::its_time_begins_anew_with_the_end_of_the_pause(
    &[Pass(ALMOST), Pause(true), Pause(false), Pass(ALMOST)], "two beside one, Loaded, OnTrial")]
#[case::a_pause_forgets_no_failure(
    &[Fails("two"), Pause(true), Pause(false)], "one, RolledBack, Serving")]
fn a_module_on_trial_becomes_good_or_is_taken_back(#[case] steps: &[TestStep], #[case] told: &str) {
    assert_eq!(Scenario::new().steps(&TRIAL).steps(steps).told(), told);
}

/// `greedy` needs Secrets beside ConfigMaps, the others only ConfigMaps.
#[rstest]
#[case::both_are_granted_still(
    &[Fetch("one"), Fetch("two")], &["ConfigMap", "Service"], "two beside one")]
#[case::neither_is(&[Fetch("one"), Fetch("two")], &["Secret"], "nothing")]
#[case::the_one_on_trial_is_not(&[Fetch("one"), Fetch("greedy")], &["ConfigMap"], "one")]
#[case::the_good_one_is_not(&[Fetch("greedy"), Fetch("two")], &["ConfigMap"], "two")]
fn a_regrant_during_a_trial_leaves_what_is_granted(
    #[case] modules: &[TestStep],
    #[case] grant: &'static [&'static str],
    #[case] serves: &str,
) {
    let mut scenario = Scenario::new().steps(&[Kinds, Grant(&["ConfigMap", "Secret"]), Kinds]);
    scenario = scenario.steps(modules);
    // Another source: what it will give is not known yet.
    scenario = scenario.steps(&[Grant(grant), Source("other.wasm")]);
    // Until the kinds are watched again nothing is served.
    assert!(scenario.serves.is_none());
    scenario.step(&Kinds);
    let told = scenario.told();
    assert!(told.starts_with(&format!("{serves}, ")), "{told}");
}

#[test]
fn a_regrant_begins_the_trial_anew_when_the_kinds_are_watched_again() {
    let mut scenario = Scenario::new().steps(&TRIAL);
    scenario = scenario.steps(&[Pass(ALMOST), Grant(&["ConfigMap", "Secret"]), Pass(WINDOW)]);
    scenario = scenario.steps(&[Kinds, Pass(ALMOST)]);
    assert_eq!(scenario.told(), "two beside one, Loaded, OnTrial");
    scenario.step(&Pass(Duration::from_secs(1)));
    assert_eq!(scenario.told(), "two, Loaded, Serving");
}

#[test]
fn a_rollback_is_told_with_both_modules_and_the_first_error_and_noted_on_disk() {
    let mut scenario = Scenario::new().steps(&TRIAL).steps(&[Fails("two")]);
    let (one, two) = (digest("one"), digest("two"));
    assert_eq!(
        scenario.message(ConditionType::ModuleLoaded),
        format!(
            "Module {two} was rolled back to {one}: 3 of 4 parents called failed that did not fail with the module before; the first: ns/a: Trapped: unreachable. It is not tried again until the spec of this Handler changes, or its source gives another module"
        )
    );
    let kept = scenario.disk.rolled_back.clone().unwrap();
    assert_eq!((kept.digest, kept.good), (two, Some(one)));
    assert_eq!(scenario.notes.last(), Some(&RolloutNote::RolledBack(two)));
    let record = scenario.rollout.status().record;
    assert_eq!(record.rolled_back.unwrap().digest, two);
    let swap = record.last_swap.unwrap();
    assert_eq!((swap.from, swap.to), (Some(two), one));
    scenario.step(&Config("b"));
    assert_eq!(scenario.disk.rolled_back, None);
    assert_eq!(scenario.rollout.status().record.rolled_back, None);
}

#[test]
fn a_passed_trial_is_noted_and_the_module_is_kept() {
    let scenario = Scenario::new().steps(&TRIAL).steps(&[Pass(WINDOW)]);
    assert_eq!(
        scenario.notes.last(),
        Some(&RolloutNote::Passed(digest("two")))
    );
    assert_eq!(scenario.kept().as_deref(), Some("two"));
}
