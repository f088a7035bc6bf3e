use handler_sdk::testing::{TestCall, describe};
use handler_sdk::{Kind, Readiness, Requeue};
use rstest::rstest;

use super::*;

fn puppet(spec: &Value) -> TestCall<Puppet> {
    TestCall::new(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec}))
}

#[test]
fn apply_answers_with_what_the_spec_holds() {
    let child = json!({"kind": "Anything", "metadata": {"name": "a"}});
    let response = puppet(&json!({
        "do": "apply",
        "children": [child],
        "status": {"size": 1},
        "waiting": "for a friend",
        "events": [{"severity": "warning", "reason": "Odd", "message": "look"}],
        "requeueAfterMs": 1500,
    }))
    .reconcile()
    .unwrap();
    assert_eq!(response.children(), [child]);
    assert_eq!(response.status_patch(), Some(json!({"size": 1})));
    assert_eq!(
        response.readiness,
        Readiness::Waiting("for a friend".into())
    );
    assert_eq!(response.events, [Event::warning("Odd", "look")]);
    let delay = Duration::from_millis(1500);
    assert_eq!(response.requeue, Some(Requeue::After(delay)));
}

#[rstest]
#[case(json!({"do": "permanent", "message": "no"}), Failure::permanent("no"))]
#[case(json!({"do": "temporary", "message": "later"}), Failure::temporary("later"))]
#[case(
    json!({"do": "temporary", "message": "later", "delayMs": 20}),
    Failure::temporary("later").after(Duration::from_millis(20))
)]
fn failures_are_those_of_the_spec(#[case] spec: Value, #[case] failure: Failure) {
    assert_eq!(puppet(&spec).reconcile(), Err(failure));
}

#[rstest]
#[case(json!({"do": "apply"}), 0)]
#[case(json!({"do": "chatter", "lines": 1}), 0)]
#[case(json!({"do": "say", "text": "a\nb"}), 0)]
#[case(json!({"do": "flood", "count": 3}), 3)]
#[case(json!({"do": "huge", "bytes": 10}), 1)]
#[case(json!({"do": "echo"}), 1)]
fn the_number_of_children_is_that_of_the_spec(#[case] spec: Value, #[case] count: usize) {
    assert_eq!(puppet(&spec).reconcile().unwrap().children().len(), count);
}

#[test]
fn a_parent_being_deleted_desires_what_on_delete_holds() {
    let spec = json!({"do": "spin", "onDelete": [{"kind": "Last"}]});
    let metadata = json!({"name": "p", "deletionTimestamp": "2000-01-01T00:00:00Z"});
    let response = TestCall::<Puppet>::new(json!({"metadata": metadata, "spec": spec}));
    assert_eq!(
        response.reconcile().unwrap().children(),
        [json!({"kind": "Last"})]
    );
}

#[test]
fn the_description_is_that_of_the_config() {
    let config = json!({
        "parent": {"apiVersion": "a/v1", "kind": "A"},
        "children": [{"apiVersion": "v1", "kind": "Secret"}],
        "finalizer": true,
    });
    assert_eq!(
        describe::<Puppet>(config).unwrap(),
        Description::new(Kind::new("a/v1", "A"))
            .child(Kind::new("v1", "Secret"))
            .finalizer()
    );
    assert_eq!(
        describe::<Puppet>(json!({"refuse": "not today"})).unwrap_err(),
        "config: not today. Correct or remove it in the handler's config."
    );
}
