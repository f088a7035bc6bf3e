//! Modules that wait for approval (the suite approval).

use rstest::rstest;

use super::scenario::TestStep::{
    Approve, Config, Fails, Fetch, FetchFails, Grant, Kinds, Pass, Preview,
};
use super::scenario::{Scenario, TestStep, WINDOW, digest};
use crate::ConditionType;

const ONE: [TestStep; 3] = [Kinds, Fetch("one"), Approve("one")];

#[rstest]
#[case::approved_it_serves(&[], "one, Loaded, Serving")]
#[case::the_next_is_previewed(&[Fetch("two")], "one, Previewing, Serving")]
#[case::and_waits(&[Fetch("two"), Preview("two", true)], "one, AwaitingApproval, Serving")]
#[case::also_where_the_preview_failed(
    &[Fetch("two"), Preview("two", false)], "one, AwaitingApproval, Serving")]
#[case::its_own_digest_approves_it(&[Fetch("two"), Approve("two")], "two beside one, Loaded, OnTrial")]
#[case::another_digest_does_not(&[Fetch("two"), Approve("three")], "one, Previewing, Serving")]
#[case::approved_beforehand_it_takes_over(&[Approve("two"), Fetch("two")], "two beside one, Loaded, OnTrial")]
#[case::a_newer_one_takes_its_place(
    &[Fetch("two"), Preview("two", true), Fetch("three")], "one, Previewing, Serving")]
#[case::and_the_preview_of_the_older_one_is_no_news(
    &[Fetch("two"), Fetch("three"), Preview("two", true)], "one, Previewing, Serving")]
#[case::an_approval_of_the_older_one_is_none_of_the_newer(
    &[Fetch("two"), Fetch("three"), Approve("two")], "one, Previewing, Serving")]
#[case::the_one_that_runs_needs_no_approval(
    &[Fetch("two"), Fetch("one")], "one, Loaded, Serving")]
#[case::nor_the_good_one_during_a_trial(
    &[Fetch("two"), Approve("two"), Fetch("one")], "one, Loaded, Serving")]
#[case::a_broken_one_takes_the_place_of_one_that_waits(
    &[Fetch("two"), Fetch("broken")], "one, InvalidModule, Serving")]
#[case::a_source_that_fails_is_told_first(
    &[Fetch("two"), FetchFails], "one, FetchFailed, Serving")]
#[case::another_spec_previews_anew(
    &[Fetch("two"), Preview("two", true), Config("b")], "one, Previewing, Serving")]
#[case::another_grant_too(
    &[Fetch("two"), Preview("two", true), Grant(&["ConfigMap", "Secret"])], "nothing, Previewing, Pending")]
#[case::one_that_was_rolled_back_is_not_approved_again(
    &[Fetch("two"), Approve("two"), Fails("two"), Fetch("one"), Fetch("two")], "one, RolledBack, Serving")]
fn a_module_waits_until_its_digest_is_approved(#[case] steps: &[TestStep], #[case] told: &str) {
    let scenario = Scenario::with_approval().steps(&ONE).steps(steps);
    assert_eq!(scenario.told(), told);
}

#[test]
fn the_first_module_waits_too() {
    let scenario = Scenario::with_approval().steps(&[Kinds, Fetch("one"), Preview("one", true)]);
    assert_eq!(
        scenario.told(),
        "nothing, AwaitingApproval, ModuleNotLoaded"
    );
    let message = scenario.message(ConditionType::ModuleLoaded);
    let command = format!(
        "approve it: kubectl annotate --overwrite handler evc handler-host.dev/approve={}",
        digest("one")
    );
    assert!(message.ends_with(&command), "{message}");
    let effect =
        "would create 0, change 2 and delete 0 children, and newly fail for 0 of 3 parents";
    assert!(message.contains(effect), "{message}");
    let held = scenario.rollout.status().candidate.unwrap();
    assert_eq!(
        (held.digest, held.preview.unwrap().change),
        (digest("one"), 2)
    );
}

#[test]
fn a_preview_that_failed_is_tried_again() {
    let mut scenario = Scenario::with_approval().steps(&ONE);
    scenario = scenario.steps(&[Fetch("two"), Preview("two", false)]);
    assert_eq!(scenario.previews, ["one", "two"]);
    scenario.step(&Pass(WINDOW));
    assert_eq!(scenario.previews, ["one", "two", "two"]);
    assert_eq!(scenario.told(), "one, Previewing, Serving");
}
