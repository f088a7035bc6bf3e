use rstest::rstest;
use serde_json::Value;

use super::*;
use crate::{
    Checked, Child, Children, Denied, DenyReason, Digest, Done, Fault, FieldTypes, Foreign, Key,
    Kind, Response, Severity, StatusAnswer,
};

const SECOND: Duration = Duration::from_secs(1);
const AT_ONCE: Requeue = Requeue::Backoff {
    at_least: Duration::ZERO,
};

fn child() -> ChildRef {
    ChildRef {
        kind: Kind::new("v1", "ConfigMap").unwrap(),
        key: Key::new(Some("ns"), "a"),
    }
}

fn event(reason: &str, message: &str) -> HandlerEvent {
    HandlerEvent {
        severity: Severity::Normal,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

fn denied() -> Undecided {
    Undecided::Denied(Denied {
        handler: "evc".to_owned(),
        reason: Box::new(DenyReason::Count { count: 2, limit: 1 }),
    })
}

fn temporary(delay: Option<Duration>) -> Undecided {
    let message = "later".to_owned();
    Undecided::Failed(Failure::Temporary {
        message,
        delay,
        status: StatusAnswer::default(),
    })
}

fn fault(fault: Fault) -> Undecided {
    Undecided::Failed(Failure::Fault(fault))
}

#[rstest]
#[case::permanent(
    Undecided::Failed(Failure::permanent("no")),
    Reason::PermanentFailure,
    Requeue::Never
)]
#[case::denied(denied(), Reason::Denied, Requeue::Never)]
#[case::temporary(temporary(None), Reason::TemporaryFailure, AT_ONCE)]
#[case::temporary_for_a_while(
    temporary(Some(SECOND)),
    Reason::TemporaryFailure,
    Requeue::After(SECOND)
)]
#[case::a_trap(fault(Fault::Trap("t".into())), Reason::Trapped, AT_ONCE)]
#[case::too_long(fault(Fault::Deadline(SECOND)), Reason::DeadlineExceeded, AT_ONCE)]
#[case::too_large(fault(Fault::Memory(1 << 20)), Reason::MemoryLimitExceeded, AT_ONCE)]
fn a_call_that_gave_nothing_is_made_again_only_if_it_may_give_something_else(
    #[case] undecided: Undecided,
    #[case] reason: Reason,
    #[case] requeue: Requeue,
) {
    let outcome = PassOutcome::of_undecided(&undecided);
    assert_eq!(outcome.verdict.as_ref().map(|it| it.reason), Some(reason));
    assert_eq!(outcome.requeue, requeue);
    assert!(outcome.has_failed() && outcome.is_settled() && !outcome.has_nothing_left());
}

/// What a module decided that desires so many children.
fn decision(response: Response, desired: usize) -> Decision {
    let checked = || {
        let ChildRef { kind, key } = child();
        let (body, digest) = (Value::Null, Digest::of(b""));
        Checked(Child {
            kind,
            key,
            body,
            bytes: 0,
            digest,
            field_types: FieldTypes::default(),
        })
    };
    let children = std::iter::repeat_with(checked).take(desired).collect();
    Decision {
        response,
        desired: Children {
            children,
            kept: Vec::new(),
        },
        status: Some(StatusPatch::default()),
        memory: 0,
    }
}

const NOW: Timestamp = Timestamp(1_000_000);

#[rstest]
#[case::none(None, Requeue::Never)]
#[case::after_a_minute(Some(RequeueRequest::After(60 * SECOND)), Requeue::After(60 * SECOND))]
#[case::at_once(Some(RequeueRequest::After(Duration::ZERO)), Requeue::After(SECOND))]
#[case::at_a_time(Some(RequeueRequest::At(Timestamp(1_090_000))), Requeue::After(90 * SECOND))]
#[case::at_a_time_that_is_over(Some(RequeueRequest::At(Timestamp(5))), Requeue::After(SECOND))]
fn a_handler_is_called_again_when_it_asks_for_it(
    #[case] request: Option<RequeueRequest>,
    #[case] requeue: Requeue,
) {
    let response = Response {
        requeue: request,
        ..Response::default()
    };
    let applied = Applied::default();
    let outcome = PassOutcome::of_applied(&decision(response, 0), applied, 0, "evc", NOW);
    assert_eq!(outcome.requeue, requeue);
}

/// Of a response with a status and an Event of its own.
fn applied(applied: Applied) -> PassOutcome {
    let response = Response {
        events: vec![event("Grown", "to 2G")],
        requeue: Some(RequeueRequest::After(SECOND)),
        ..Response::default()
    };
    PassOutcome::of_applied(&decision(response, 1), applied, 0, "evc", NOW)
}

fn problem(problem: ChildProblem) -> Applied {
    Applied {
        problem: Some(problem),
        ..Applied::default()
    }
}

fn unavailable(retry_after: Option<Duration>) -> Applied {
    problem(ChildProblem::Unavailable {
        child: child(),
        message: "busy".to_owned(),
        retry_after,
    })
}

fn awaited() -> Applied {
    Applied {
        awaited: Some(child()),
        ..Applied::default()
    }
}

#[rstest]
#[case::all_is_well(
    Applied::default(),
    Some(Reason::Reconciled),
    Requeue::After(SECOND),
    true
)]
#[case::a_child_goes_first(awaited(), Some(Reason::Waiting), Requeue::After(SECOND), true)]
#[case::foreign(
    problem(ChildProblem::Foreign(child(), Foreign::Unlabelled)),
    Some(Reason::Conflict),
    AT_ONCE,
    false
)]
#[case::rejected(
    problem(ChildProblem::Rejected(child(), "no".into())), Some(Reason::Rejected), AT_ONCE, false)]
#[case::unavailable(unavailable(None), None, AT_ONCE, false)]
#[case::unavailable_for_a_while(
    unavailable(Some(SECOND)), None, Requeue::Backoff { at_least: SECOND }, false)]
#[case::terminating(problem(ChildProblem::Terminating(child())), None, AT_ONCE, false)]
#[case::failed_once(problem(ChildProblem::Failed(child(), "500".into())), None, AT_ONCE, false)]
#[case::stale(problem(ChildProblem::Stale(child())), None, AT_ONCE, false)]
fn a_verdict_comes_from_what_became_of_the_children(
    #[case] of: Applied,
    #[case] reason: Option<Reason>,
    #[case] requeue: Requeue,
    #[case] is_handlers_word_told: bool,
) {
    let outcome = applied(of);
    assert_eq!(outcome.verdict.as_ref().map(|it| it.reason), reason);
    assert_eq!(outcome.requeue, requeue);
    assert_eq!(outcome.is_settled(), reason.is_some());
    assert_eq!(outcome.status.is_some(), is_handlers_word_told);
    assert_eq!(!outcome.events.is_empty(), is_handlers_word_told);
    // A foreign object is the fault of no module.
    assert_eq!(outcome.has_failed(), reason == Some(Reason::Rejected));
}

#[rstest]
#[case::written(FinalizerWrite::Written, None, Requeue::Never, None)]
#[case::stale(FinalizerWrite::Stale, None, AT_ONCE, None)]
#[case::rejected(FinalizerWrite::Rejected("no".into()), Some(Reason::Rejected), AT_ONCE, None)]
#[case::unavailable(
    FinalizerWrite::Unavailable { message: "busy".into(), retry_after: Some(SECOND) },
    None, Requeue::Backoff { at_least: SECOND }, Some("busy"))]
fn a_finalizer_is_written_or_tried_again(
    #[case] write: FinalizerWrite,
    #[case] reason: Option<Reason>,
    #[case] requeue: Requeue,
    #[case] problem: Option<&str>,
) {
    let outcome = PassOutcome::of_finalizer(write);
    assert_eq!(outcome.verdict.as_ref().map(|it| it.reason), reason);
    assert_eq!(outcome.requeue, requeue);
    assert_eq!(outcome.problem.as_deref(), problem);
}

#[rstest]
#[case::nothing_desired_and_nothing_changed(Readiness::Ready, 0, &[], true)]
#[case::the_handler_waits(Readiness::Waiting("for it".into()), 0, &[], true)]
#[case::a_child_is_desired(Readiness::Ready, 1, &[], false)]
#[case::a_child_was_deleted_just_now(Readiness::Ready, 0, &[Done::Deleted], false)]
fn a_handler_has_nothing_left_when_it_desires_nothing_and_nothing_changed(
    #[case] readiness: Readiness,
    #[case] desired: usize,
    #[case] done: &[Done],
    #[case] has_nothing_left: bool,
) {
    let changes = done.iter().map(|done| AppliedChange {
        child: child(),
        done: *done,
        fields: Vec::new(),
        changed_by: None,
    });
    let applied = Applied {
        changes: changes.collect(),
        ..Applied::default()
    };
    let response = Response {
        readiness,
        ..Response::default()
    };
    let outcome = PassOutcome::of_applied(&decision(response, desired), applied, 0, "evc", NOW);
    assert_eq!(outcome.has_nothing_left(), has_nothing_left);
}

#[test]
fn a_pass_without_a_verdict_leaves_something() {
    let decision = decision(Response::default(), 0);
    let outcome = PassOutcome::of_applied(&decision, unavailable(None), 0, "evc", NOW);
    assert!(!outcome.has_nothing_left());
}

#[rstest]
#[case::news(ConditionChange::Transition, false, &["Grown", "Reconciled"])]
#[case::news_and_changes(ConditionChange::Transition, true, &["Grown", "Reconciled"])]
#[case::changes_only(ConditionChange::Same, true, &["Grown"])]
#[case::neither(ConditionChange::Same, false, &[])]
fn events_come_with_news_or_changes(
    #[case] change: ConditionChange,
    #[case] has_changes: bool,
    #[case] reasons: &[&str],
) {
    let mut outcome = applied(Applied::default());
    let created = AppliedChange {
        child: child(),
        done: Done::Created,
        fields: Vec::new(),
        changed_by: None,
    };
    outcome.changes.extend(has_changes.then_some(created));
    let report = outcome.report(change).unwrap();
    let found: Vec<_> = report.events.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(found, reasons);
    assert_eq!(report.verdict.reason, Reason::Reconciled);
    if let (ConditionChange::Transition, [.., last]) = (change, report.events.as_slice()) {
        let message = if has_changes {
            "Created ConfigMap a"
        } else {
            "1 child is as desired."
        };
        assert_eq!(last.message, message);
    }
}

#[test]
fn what_is_withheld_is_told_to_nobody_and_passed_over_again() {
    let withheld = PassOutcome::of_undecided(&fault(Fault::Trap("t".into()))).withheld();
    assert!(!withheld.is_settled());
    assert_eq!(withheld.requeue, AT_ONCE);
    assert_eq!(withheld.report(ConditionChange::Transition), None);
}

#[rstest]
#[case::never(Requeue::Never, None, 0)]
#[case::after(Requeue::After(SECOND), Some(SECOND), 0)]
#[case::the_third_failure(AT_ONCE, Some(SECOND * 4), 3)]
#[case::at_least(Requeue::Backoff { at_least: SECOND * 9 }, Some(SECOND * 9), 3)]
fn only_backoff_counts_failures(
    #[case] requeue: Requeue,
    #[case] delay: Option<Duration>,
    #[case] failures: u32,
) {
    let mut count = 2;
    assert_eq!(requeue.delay(&mut count, Backoff::default(), 0.0), delay);
    assert_eq!(count, failures);
}
