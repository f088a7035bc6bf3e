//! A host that loses its lease, or ends, in each state; and the one that goes on (ADR 0015 and 0022).

use rstest::rstest;

use super::scenario::TestStep::{
    Approve, Config, Fails, Fetch, FetchFails, Kinds, Lead, LoseLease, Pass, Preview, Restart,
    RestartWithoutDisk, Rights,
};
use super::scenario::{Scenario, TestStep, WINDOW, digest};
use crate::PreviewPolicy;
use crate::rollout::LoadPurpose;

/// What each state comes to, in a host that ended and began anew with the same disk: before its source says
/// anything, and when it gives the same as before.
#[rstest]
#[case::before_any_module(&[], None, "nothing, Pending, Pending", "-")]
#[case::a_good_module(&[Fetch("one")], Some("one"), "one, Loaded, Serving", "one, Loaded, Serving")]
#[case::on_trial(
    &[Fetch("one"), Fetch("two")], Some("two"),
    "one, Loaded, Serving", "two beside one, Loaded, OnTrial")]
#[case::passed(
    &[Fetch("one"), Fetch("two"), Pass(WINDOW)], Some("two"),
    "two, Loaded, Serving", "two, Loaded, Serving")]
#[case::rolled_back(
    &[Fetch("one"), Fetch("two"), Fails("two")], Some("two"),
    "one, Loaded, Serving", "one, RolledBack, Serving")]
#[case::refused(
    &[Fetch("one"), Fetch("broken")], Some("broken"),
    "one, Loaded, Serving", "one, InvalidModule, Serving")]
#[case::without_a_source(
    &[Fetch("one"), FetchFails], Some("one"), "one, Loaded, Serving", "one, Loaded, Serving")]
#[case::with_another_config(
    &[Fetch("one"), Config("b")], Some("one"), "one, Loaded, Serving", "one, Loaded, Serving")]
#[case::without_rights(
    &[Fetch("one"), Rights(false)], Some("one"), "one, Loaded, Serving", "one, Loaded, Serving")]
fn a_restart_begins_with_the_last_good_module(
    #[case] steps: &[TestStep],
    #[case] given: Option<&'static str>,
    #[case] at_once: &str,
    #[case] then: &str,
) {
    let mut scenario = Scenario::new().steps(&[Kinds]).steps(steps);
    scenario = scenario.steps(&[Restart, Kinds]);
    assert_eq!(scenario.told(), at_once);
    if let Some(given) = given {
        scenario.step(&Fetch(given));
        assert_eq!(scenario.told(), then);
    }
}

#[test]
fn a_restart_while_a_module_waits_for_approval_has_it_wait_again() {
    let mut scenario = Scenario::with_approval().steps(&[Kinds, Fetch("one"), Approve("one")]);
    scenario = scenario.steps(&[Fetch("two"), Preview("two", true), Restart, Kinds]);
    assert_eq!(scenario.told(), "one, Loaded, Serving");
    scenario.step(&Fetch("two"));
    assert_eq!(scenario.told(), "one, Previewing, Serving");
}

#[rstest]
#[case::a_good_module_is_the_first_again(&[Fetch("one")], "one", "one, Loaded, Serving")]
#[case::one_that_was_on_trial_is_the_first(
    &[Fetch("one"), Fetch("two")], "two", "two, Loaded, Serving")]
#[case::what_was_rolled_back_is_remembered_by_the_status(
    &[Fetch("one"), Fetch("two"), Fails("two")], "two", "nothing, RolledBack, ModuleNotLoaded")]
#[case::another_one_serves(
    &[Fetch("one"), Fetch("two"), Fails("two")], "three", "three, Loaded, Serving")]
fn without_its_disk_a_host_has_what_the_source_gives(
    #[case] steps: &[TestStep],
    #[case] given: &'static str,
    #[case] told: &str,
) {
    let mut scenario = Scenario::new().steps(&[Kinds]).steps(steps);
    scenario = scenario.steps(&[RestartWithoutDisk, Kinds]);
    assert!(scenario.serves.is_none());
    scenario.step(&Fetch(given));
    assert_eq!(scenario.told(), told);
}

#[test]
fn a_module_that_serves_again_after_a_restart_is_no_swap() {
    let scenario = Scenario::new().steps(&[Kinds, Fetch("one"), Fetch("two"), Pass(WINDOW)]);
    let before = scenario.rollout.status().record;
    let after = scenario.steps(&[Pass(WINDOW), Restart, Kinds, Fetch("two")]);
    let after = after.rollout.status().record;
    assert_eq!(after, before);
}

/// A host that loses its lease in each state serves nothing and says nothing; it has its modules at hand, and
/// begins with the good one when it leads again.
#[rstest]
#[case::before_any_module(&[], "nothing, Pending, Pending")]
#[case::a_good_module(&[Fetch("one")], "one, Loaded, Serving")]
#[case::on_trial(&[Fetch("one"), Fetch("two")], "two beside one, Loaded, OnTrial")]
#[case::passed(&[Fetch("one"), Fetch("two"), Pass(WINDOW)], "two, Loaded, Serving")]
#[case::rolled_back(&[Fetch("one"), Fetch("two"), Fails("two")], "one, RolledBack, Serving")]
#[case::refused(&[Fetch("one"), Fetch("broken")], "one, InvalidModule, Serving")]
#[case::without_a_source(&[Fetch("one"), FetchFails], "one, FetchFailed, Serving")]
#[case::without_rights(&[Fetch("one"), Rights(false)], "one, Loaded, Serving")]
fn a_lost_lease_stops_everything_and_leading_again_goes_on(
    #[case] steps: &[TestStep],
    #[case] again: &str,
) {
    let mut scenario = Scenario::new().steps(&[Kinds]).steps(steps);
    // The host that leads meanwhile writes the same status.
    let record = scenario.rollout.status().record;
    scenario.step(&LoseLease);
    assert_eq!(scenario.told(), "nothing, -, -");
    assert!(!scenario.is_watching);
    assert_eq!(scenario.rollout.wakes_at(), None);
    scenario = scenario.steps(&[Kinds, Rights(false), Pass(WINDOW / 2), Fails("two")]);
    assert_eq!(scenario.told(), "nothing, -, -");
    scenario.lead_after(record);
    assert_eq!(scenario.told(), again);
}

#[test]
fn a_lost_lease_while_a_module_waits_for_approval_has_it_wait_again() {
    let mut scenario = Scenario::with_approval().steps(&[Kinds, Fetch("one"), Approve("one")]);
    scenario = scenario.steps(&[Fetch("two"), Preview("two", true)]);
    let record = scenario.rollout.status().record;
    scenario = scenario.steps(&[LoseLease, Kinds]);
    scenario.lead_after(record);
    assert_eq!(scenario.told(), "one, Previewing, Serving");
}

#[test]
fn what_was_proven_elsewhere_serves_at_once_where_it_was_preloaded() {
    let elsewhere = Scenario::new().steps(&[Kinds, Fetch("one"), Fetch("two"), Pass(WINDOW)]);
    let record = elsewhere.rollout.status().record;
    let mut here = Scenario::standing_by(PreviewPolicy::Optional);
    // Its own disk is older.
    here.disk.good = Some(super::scenario::fetched("one"));
    here = here.steps(&[Kinds, Fetch("one"), Fetch("two"), Pass(WINDOW * 3)]);
    here.loads.clear();
    here.lead_after(record);
    assert_eq!(here.told(), "two, Loaded, Serving");
    assert_eq!(here.loads, [(LoadPurpose::Recall, "two".to_owned())]);
    assert_eq!(here.kept().as_deref(), Some("two"));
}

#[test]
fn a_trial_that_another_host_saw_to_its_end_is_not_begun_anew() {
    let mut scenario = Scenario::new().steps(&[Kinds, Fetch("one"), Fetch("two")]);
    let record = scenario.rollout.status().record;
    scenario = scenario.steps(&[LoseLease, Kinds, Pass(WINDOW)]);
    scenario.lead_after(record);
    assert_eq!(scenario.told(), "two, Loaded, Serving");
}

#[test]
fn what_was_rolled_back_elsewhere_is_not_tried_here() {
    let elsewhere = Scenario::new().steps(&[Kinds, Fetch("one"), Fetch("two"), Fails("two")]);
    let record = elsewhere.rollout.status().record;
    let mut here = Scenario::standing_by(PreviewPolicy::Optional);
    here = here.steps(&[Kinds, Fetch("one"), Fetch("two")]);
    here.lead_after(record);
    assert_eq!(here.told(), "one, RolledBack, Serving");
    here.step(&Lead);
    assert!(here.rollout.known(digest("two")).is_some());
}
