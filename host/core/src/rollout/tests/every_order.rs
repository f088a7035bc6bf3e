//! Whatever happens, in whatever order: what must hold in every state.

use rstest::rstest;

use super::scenario::TestStep::{
    Approve, Config, DoesWell, Fails, Fetch, FetchFails, Grant, Kinds, Lead, LoseLease, Pass,
    Restart, Rights,
};
use super::scenario::{Scenario, TestStep, WINDOW, digest};
use crate::{ConditionType, GrantRequest};

const STEPS: [TestStep; 16] = [
    Lead,
    LoseLease,
    Restart,
    Kinds,
    Fetch("one"),
    Fetch("two"),
    Fetch("greedy"),
    Fetch("broken"),
    FetchFails,
    Config("b"),
    Grant(&["ConfigMap", "Secret"]),
    Grant(&["ConfigMap"]),
    Approve("two"),
    DoesWell,
    Fails("two"),
    Pass(WINDOW),
];

#[rstest]
#[case::from_the_start(Scenario::new, &[Kinds])]
#[case::with_a_good_module(Scenario::new, &[Kinds, Fetch("one")])]
#[case::with_a_module_on_trial(Scenario::new, &[Kinds, Fetch("one"), Fetch("two")])]
#[case::with_a_module_that_waits(Scenario::with_approval, &[Kinds, Fetch("two"), Rights(true)])]
fn every_sequence_of_three_steps_keeps_what_must_hold(
    #[case] start: fn() -> Scenario,
    #[case] before: &[TestStep],
) {
    for first in &STEPS {
        for second in &STEPS {
            for third in &STEPS {
                let mut scenario = start().steps(before);
                for step in [first, second, third] {
                    scenario.step(step);
                    hold(&scenario, &[first, second, third]);
                }
            }
        }
    }
}

fn hold(scenario: &Scenario, steps: &[&TestStep]) {
    let rollout = &scenario.rollout;
    let told = scenario.told();
    let running = rollout.running().map(crate::rollout::RolloutModule::digest);
    // What serves is what the rollout says, and nothing serves unwatched or while standing by.
    if let Some((module, good)) = &scenario.serves {
        assert_eq!(running, Some(digest(module)), "{steps:?}: {told}");
        assert!(scenario.is_watching && rollout.is_leading(), "{steps:?}");
        assert_ne!(Some(module), good.as_ref(), "{steps:?}: {told}");
    }
    // What is watched and loaded is served.
    if scenario.is_watching && rollout.is_leading() {
        assert_eq!(
            scenario.serves.is_some(),
            running.is_some(),
            "{steps:?}: {told}"
        );
    }
    // What serves is granted what it describes.
    if let Some(description) = rollout.described() {
        let grant = GrantRequest::from(rollout.settings()).grant().unwrap();
        assert!(grant.narrowed_to(description).is_ok(), "{steps:?}: {told}");
    }
    // A module that was rolled back under this spec does not serve.
    let record = rollout.status().record;
    if let Some(rolled_back) = &record.rolled_back {
        assert_ne!(running, Some(rolled_back.digest), "{steps:?}: {told}");
    }
    // A host that leads says so in both conditions, one that stands by says nothing.
    let says = !scenario.message(ConditionType::Ready).is_empty();
    assert_eq!(says, rollout.is_leading(), "{steps:?}: {told}");
    // Time that is waited for lies ahead, so that no wake-up follows on itself.
    assert!(scenario.is_ahead(rollout.wakes_at()), "{steps:?}: {told}");
}
