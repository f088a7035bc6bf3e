//! How a module that the source gives takes over, or does not (ADR 0013 and 0015, the suite swap).

use rstest::rstest;

use super::scenario::TestStep::{BadSpec, Fetch, FetchFails, Kinds, Pass};
use super::scenario::{Scenario, TestStep, WINDOW, digest};
use crate::rollout::{LoadPurpose, RolloutNote};
use crate::{ConditionType, PreviewPolicy};

#[rstest]
#[case::nothing_is_there_yet(&[], "nothing, Pending, Pending")]
#[case::the_kinds_are_there_first(&[Kinds], "nothing, Pending, Pending")]
#[case::the_first_serves_at_once(&[Kinds, Fetch("one")], "one, Loaded, Serving")]
#[case::the_first_waits_for_the_kinds(&[Fetch("one")], "nothing, Loaded, Pending")]
#[case::and_serves_when_they_are_there(&[Fetch("one"), Kinds], "one, Loaded, Serving")]
#[case::the_next_is_on_trial(&[Kinds, Fetch("one"), Fetch("two")], "two beside one, Loaded, OnTrial")]
#[case::also_where_both_came_before_the_kinds(
    &[Fetch("one"), Fetch("two"), Kinds], "two beside one, Loaded, OnTrial")]
#[case::and_is_good_when_its_time_is_over(
    &[Kinds, Fetch("one"), Fetch("two"), Pass(WINDOW)], "two, Loaded, Serving")]
#[case::the_same_again_is_nothing_new(&[Kinds, Fetch("one"), Fetch("one")], "one, Loaded, Serving")]
#[case::back_to_the_good_one_is_no_trial(
    &[Kinds, Fetch("one"), Fetch("two"), Fetch("one")], "one, Loaded, Serving")]
#[case::a_third_is_measured_by_the_good_one(
    &[Kinds, Fetch("one"), Fetch("two"), Fetch("three")], "three beside one, Loaded, OnTrial")]
#[case::a_file_that_is_no_handler_changes_nothing(
    &[Kinds, Fetch("one"), Fetch("broken")], "one, InvalidModule, Serving")]
#[case::nor_during_a_trial(
    &[Kinds, Fetch("one"), Fetch("two"), Fetch("broken")], "two beside one, InvalidModule, OnTrial")]
#[case::mended_it_takes_over(
    &[Kinds, Fetch("one"), Fetch("broken"), Fetch("two")], "two beside one, Loaded, OnTrial")]
#[case::a_source_that_fails_changes_nothing(
    &[Kinds, Fetch("one"), FetchFails], "one, FetchFailed, Serving")]
#[case::and_is_well_when_it_gives_the_same_again(
    &[Kinds, Fetch("one"), FetchFails, Fetch("one")], "one, Loaded, Serving")]
#[case::a_module_beyond_its_grant_changes_nothing(
    &[Kinds, Fetch("one"), Fetch("greedy")], "one, NotGranted, Serving")]
#[case::without_any_module_the_handler_is_not_ready(
    &[Kinds, Fetch("broken")], "nothing, InvalidModule, ModuleNotLoaded")]
#[case::a_bad_spec_changes_nothing(&[Kinds, Fetch("one"), BadSpec], "one, InvalidSpec, Serving")]
fn a_module_takes_over_only_as_it_may(#[case] steps: &[TestStep], #[case] told: &str) {
    assert_eq!(Scenario::new().steps(steps).told(), told);
}

#[test]
fn each_swap_is_noted_with_both_modules_and_the_good_one_is_kept() {
    let scenario = Scenario::new().steps(&[Kinds, Fetch("one"), Fetch("two")]);
    let swapped = |from: Option<&str>, to: &str| RolloutNote::Swapped {
        from: from.map(digest),
        to: digest(to),
        origin: format!("{to}.wasm"),
    };
    let notes = [swapped(None, "one"), swapped(Some("one"), "two")];
    assert_eq!(scenario.notes, notes);
    assert_eq!(scenario.kept().as_deref(), Some("one"));
    let record = scenario.rollout.status().record;
    assert_eq!(record.module.unwrap().digest, digest("two"));
    let swap = record.last_swap.unwrap();
    assert_eq!((swap.from, swap.to), (Some(digest("one")), digest("two")));
    assert!(
        scenario
            .message(ConditionType::ModuleLoaded)
            .ends_with(" from two.wasm")
    );
}

#[test]
fn what_a_busy_host_made_fail_is_tried_again_and_what_is_broken_is_not() {
    for (module, loads) in [("busy", 3), ("broken", 1)] {
        let mut scenario = Scenario::new().steps(&[Kinds, Fetch(module)]);
        scenario.step(&Pass(std::time::Duration::from_secs(25)));
        let asked = scenario.loads.iter().filter(|(_, name)| name == module);
        assert_eq!(asked.count(), loads, "{module}");
    }
}

#[test]
fn a_host_that_stands_by_loads_what_the_source_gives_and_serves_nothing() {
    let steps = [
        Kinds,
        Fetch("one"),
        Fetch("one"),
        Fetch("broken"),
        Fetch("two"),
    ];
    let scenario = Scenario::standing_by(PreviewPolicy::Optional).steps(&steps);
    assert_eq!(scenario.told(), "nothing, -, -");
    let loads: Vec<_> = scenario
        .loads
        .iter()
        .map(|(why, it)| (*why, it.as_str()))
        .collect();
    let expected = ["one", "broken", "two"].map(|module| (LoadPurpose::Preload, module));
    assert_eq!(loads, expected);
    assert!(scenario.rollout.known(digest("one")).is_some());
    assert!(!scenario.rollout.is_pending());
}
