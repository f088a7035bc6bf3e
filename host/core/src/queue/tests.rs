use super::*;

fn run<K>(task: Task<K>) -> Next<K> {
    Next::Run(task)
}

#[test]
fn a_parent_added_twice_runs_once() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.add("a");
    queue.add("a");
    assert_eq!(queue.next(now), run(Task::Reconcile("a")));
    assert_eq!(queue.next(now), Next::Wait);
}

#[test]
fn a_change_during_a_run_leads_to_another_run_afterwards() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.add("a");
    queue.next(now);
    queue.add("a");
    assert_eq!(queue.next(now), Next::Wait);
    queue.done(&"a");
    assert_eq!(queue.next(now), run(Task::Reconcile("a")));
}

#[test]
fn it_knows_how_long_a_parent_waited_since_it_was_first_added() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let second = Duration::from_secs(1);
    queue.set_time(now);
    queue.add("a");
    queue.set_time(now + second);
    queue.add("a");
    queue.report("b", now);
    assert_eq!((queue.depth(), queue.added()), (1, 1));
    queue.next(now + second * 3);
    assert_eq!(queue.waited(), Some(second * 3));
    assert!(queue.is_busy());
    queue.next(now + second * 4);
    assert_eq!((queue.waited(), queue.depth()), (None, 0));
}

#[test]
fn a_retry_is_not_lost_to_a_change() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.add("a");
    queue.retry_at("a", now);
    assert_eq!(queue.next(now), run(Task::Retry("a")));
}

#[test]
fn an_appointment_waits_for_its_time_and_can_be_moved_or_cancelled() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
    queue.retry_at("a", soon);
    queue.retry_at("a", late);
    assert_eq!(queue.next(soon), Next::WaitUntil(late));
    assert_eq!(queue.next(late), run(Task::Retry("a")));
    queue.done(&"a");
    queue.retry_at("a", late);
    queue.retry_by("a", late + Duration::from_secs(1));
    assert_eq!(queue.next(soon), Next::WaitUntil(late));
    queue.cancel_timer(&"a");
    assert_eq!(queue.next(late), Next::Wait);
}

#[test]
fn children_go_before_reports() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.report("a", now);
    queue.add("b");
    assert_eq!(queue.next(now), run(Task::Reconcile("b")));
    assert_eq!(queue.next(now), run(Task::Report("a")));
}

#[test]
fn a_report_that_waited_a_second_takes_every_second_turn() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for key in ["a", "b"] {
        queue.report(key, now);
    }
    for key in ["c", "d", "e"] {
        queue.add(key);
    }
    let later = now + Duration::from_secs(1);
    let order: Vec<_> = (0..5).map(|_| queue.next(later)).collect();
    assert_eq!(
        order,
        [
            run(Task::Reconcile("c")),
            run(Task::Report("a")),
            run(Task::Reconcile("d")),
            run(Task::Report("b")),
            run(Task::Reconcile("e")),
        ]
    );
}

#[test]
fn a_parent_is_never_reconciled_and_reported_at_once() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.add("a");
    queue.next(now);
    queue.report("a", now);
    assert_eq!(queue.next(now), Next::Wait);
    queue.done(&"a");
    assert_eq!(queue.next(now), run(Task::Report("a")));
}

#[test]
fn a_stopping_queue_lets_running_work_and_reports_end() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.add("a");
    queue.add("b");
    queue.next(now);
    queue.report("a", now);
    queue.stop_reconciling();
    queue.add("c");
    queue.done(&"a");
    assert!(!queue.is_quiet());
    assert_eq!(queue.next(now), run(Task::Report("a")));
    queue.done(&"a");
    assert!(queue.is_quiet());
    assert_eq!(queue.next(now), Next::Wait);
}

#[test]
fn revisits_come_last_and_one_at_a_time() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let every = Duration::from_secs(1);
    queue.set_revisit_interval(every);
    for key in ["a", "b", "a"] {
        queue.revisit(key);
    }
    queue.report("c", now);
    queue.add("d");
    assert_eq!(queue.next(now), run(Task::Reconcile("d")));
    assert_eq!(queue.next(now), run(Task::Report("c")));
    assert_eq!(queue.next(now), run(Task::Reconcile("a")));
    assert_eq!(queue.next(now), Next::WaitUntil(now + every));
    assert_eq!(queue.next(now + every), run(Task::Reconcile("b")));
    assert_eq!(queue.next(now + every * 2), Next::Wait);
}

#[test]
fn a_revisit_waits_for_its_parents_work_without_a_time() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.add("a");
    queue.next(now);
    queue.revisit("a");
    assert_eq!(queue.next(now), Next::Wait);
    queue.done(&"a");
    assert_eq!(queue.next(now), run(Task::Reconcile("a")));
}

#[test]
fn however_much_changes_a_revisit_gets_a_turn_in_eight() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.revisit(100);
    for key in 0..20 {
        queue.add(key);
    }
    let order: Vec<_> = (0..8).map(|_| queue.next(now)).collect();
    let revisits = order
        .iter()
        .filter(|next| **next == run(Task::Reconcile(100)));
    assert_eq!(revisits.count(), 1);
}

#[test]
fn a_paused_queue_keeps_what_arrives_and_gives_it_out_later() {
    let now = Instant::now();
    let mut queue = Queue::default();
    queue.set_paused(true);
    queue.add("a");
    queue.report("b", now);
    queue.retry_at("c", now);
    assert_eq!(queue.next(now), Next::Wait);
    // Nobody is late, and a host that stops waits for nothing.
    assert!(!queue.is_busy());
    assert!(queue.is_quiet());
    queue.set_paused(false);
    let tasks: Vec<_> = (0..3).map(|_| queue.next(now)).collect();
    for task in [Task::Reconcile("a"), Task::Retry("c"), Task::Report("b")] {
        assert!(tasks.contains(&Next::Run(task)), "{tasks:?}");
    }
}
