//! The spec changes while modules run (the suites handlers and grants).

use rstest::rstest;

use super::scenario::TestStep::{
    Approve, BadSpec, Config, Fetch, FetchFails, Grant, Kinds, Source,
};
use super::scenario::{Scenario, TestStep};
use crate::rollout::LoadPurpose;

#[rstest]
#[case::another_config_is_no_trial(&[Fetch("one"), Config("b")], "one, Loaded, Serving")]
#[case::a_config_that_the_module_refuses_leaves_the_one_before(
    &[Fetch("strict"), Config("b")], "strict, DescribeFailed, Serving")]
#[case::mended_it_is_taken(
    &[Fetch("strict"), Config("b"), Config("{}")], "strict, Loaded, Serving")]
#[case::the_module_that_runs_takes_the_config_though_its_successor_is_broken(
    &[Fetch("one"), Fetch("broken"), Config("b")], "one, InvalidModule, Serving")]
#[case::a_successor_is_on_trial_beside_the_module_with_the_config_of_now(
    &[Fetch("one"), FetchFails, Fetch("strict"), Config("b")], "strict beside one, DescribeFailed, OnTrial")]
#[case::another_source_is_waited_for(
    &[Fetch("one"), Source("other.wasm")], "one, Pending, Serving")]
#[case::what_it_gives_is_on_trial(
    &[Fetch("one"), Source("other.wasm"), Fetch("two")], "two beside one, Loaded, OnTrial")]
#[case::a_source_that_failed_is_forgotten_with_it(
    &[FetchFails, Source("other.wasm")], "nothing, Pending, Pending")]
#[case::what_is_granted_no_more_ends_at_once(
    &[Fetch("one"), Grant(&["Secret"])], "nothing, NotGranted, Pending")]
#[case::and_cannot_serve_when_the_kinds_are_there(
    &[Fetch("one"), Grant(&["Secret"]), Kinds], "nothing, NotGranted, ModuleNotLoaded")]
#[case::granted_again_it_serves(
    &[Fetch("one"), Grant(&["Secret"]), Kinds, Grant(&["ConfigMap"]), Kinds], "one, Loaded, Serving")]
#[case::more_than_before_is_watched_first(
    &[Fetch("one"), Grant(&["ConfigMap", "Secret"])], "nothing, Loaded, Pending")]
#[case::then_it_serves(
    &[Fetch("one"), Grant(&["ConfigMap", "Secret"]), Kinds], "one, Loaded, Serving")]
#[case::a_bad_spec_is_forgotten_when_a_good_one_comes(
    &[Fetch("one"), BadSpec, Config("b")], "one, Loaded, Serving")]
#[case::an_approval_that_nobody_waits_for_is_nothing(
    &[Fetch("one"), Approve("two")], "one, Loaded, Serving")]
fn the_spec_takes_effect_as_far_as_the_module_takes_it(
    #[case] steps: &[TestStep],
    #[case] told: &str,
) {
    assert_eq!(Scenario::new().steps(&[Kinds]).steps(steps).told(), told);
}

#[test]
fn a_module_that_runs_and_is_still_given_is_loaded_once_for_another_config() {
    let mut scenario = Scenario::new().steps(&[Kinds, Fetch("one")]);
    scenario.loads.clear();
    scenario.step(&Config("b"));
    assert_eq!(scenario.loads, [(LoadPurpose::Candidate, "one".to_owned())]);
}

#[test]
fn one_that_is_given_no_more_is_renewed_before_its_successor_is_considered() {
    let mut scenario = Scenario::new().steps(&[Kinds, Fetch("one"), Fetch("broken")]);
    scenario.loads.clear();
    scenario.step(&Config("b"));
    let expected = [
        (LoadPurpose::Renew, "one".to_owned()),
        (LoadPurpose::Candidate, "broken".to_owned()),
    ];
    assert_eq!(scenario.loads, expected);
}

#[test]
fn only_another_source_is_followed_anew() {
    let mut scenario = Scenario::new().steps(&[Kinds, Fetch("one"), Config("b"), Approve("one")]);
    assert_eq!(scenario.follows, 0);
    scenario.step(&Source("other.wasm"));
    assert_eq!(scenario.follows, 1);
}
