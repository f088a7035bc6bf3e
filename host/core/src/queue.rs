use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::revisits::Revisits;

/// Of so many turns one is for a revisit, if any is due, however much else there is.
const REVISIT_TURN: usize = 8;
/// How long a report may wait while children are pending.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// What to work on next, children before reports.
///
/// A parent is worked on by one worker at a time; what arrives meanwhile is kept for afterwards, once. A
/// claim is served when its child exists, so reports give way to parents that are due, until they have
/// waited for a second: from then on they take every second turn. Revisits, of parents whose handler
/// changed, come last and at a bounded rate, so that fresh changes never wait for them; but one turn in eight
/// is theirs.
///
/// Time is passed in, so that tests need no clock.
#[derive(Debug)]
pub struct Queue<K> {
    due: VecDeque<K>,
    /// Why a parent stands in `due`, and since when as far as the time is known; a parent is in the map
    /// exactly while it is in the line.
    causes: HashMap<K, (Cause, Option<Instant>)>,
    now: Option<Instant>,
    added: u64,
    /// How long the parent waited that was taken last.
    waited: Option<Duration>,
    reports: VecDeque<(K, Instant)>,
    reporting: HashSet<K>,
    timers: BTreeSet<(Instant, K)>,
    timer_of: HashMap<K, Instant>,
    running: HashSet<K>,
    revisits: Revisits<K>,
    turn: usize,
    is_stopped: bool,
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task<K> {
    /// Look at the parent, and call the handler if anything changed.
    Reconcile(K),
    /// Look at the parent and call the handler though nothing may have changed.
    Retry(K),
    /// Write the parent's status.
    Report(K),
}

/// What a worker is to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<K> {
    /// This.
    Run(Task<K>),
    /// Nothing before that moment, unless something is added.
    WaitUntil(Instant),
    /// Nothing until something is added.
    Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Change,
    Timer,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            due: VecDeque::new(),
            causes: HashMap::new(),
            now: None,
            added: 0,
            waited: None,
            reports: VecDeque::new(),
            reporting: HashSet::new(),
            timers: BTreeSet::new(),
            timer_of: HashMap::new(),
            running: HashSet::new(),
            revisits: Revisits::default(),
            turn: 0,
            is_stopped: false,
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// The time that what is added from now on is added at.
    pub fn set_time(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// How many parents are due.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.due.len()
    }

    /// How many were added to those that are due, ever.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added
    }

    /// How long the parent was due that [`next`](Self::next) gave last; None if that was no parent that was
    /// due, but a report or a revisit, which wait by design.
    #[must_use]
    pub fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// Whether there is something that somebody should be working on.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.due.is_empty() || !self.running.is_empty()
    }

    /// Something about the parent changed.
    pub fn add(&mut self, key: K) {
        self.enqueue(key, Cause::Change);
    }

    /// The parent is to be looked at without a change.
    pub fn retry_now(&mut self, key: K) {
        self.enqueue(key, Cause::Timer);
    }

    /// The parent is to be looked at again at `at`; replaces an earlier appointment.
    pub fn retry_at(&mut self, key: K, at: Instant) {
        self.cancel_timer(&key);
        self.timer_of.insert(key.clone(), at);
        self.timers.insert((at, key));
    }

    /// The parent is to be looked at again at `at` or, if it has an earlier appointment, then.
    pub fn retry_by(&mut self, key: K, at: Instant) {
        if self.timer_of.get(&key).is_none_or(|earlier| *earlier > at) {
            self.retry_at(key, at);
        }
    }

    /// Forgets the parent's appointment.
    pub fn cancel_timer(&mut self, key: &K) {
        if let Some(at) = self.timer_of.remove(key) {
            self.timers.remove(&(at, key.clone()));
        }
    }

    /// The parent's handler changed: it is to be looked at when there is time.
    pub fn revisit(&mut self, key: K) {
        if !self.is_stopped {
            self.revisits.add(key);
        }
    }

    /// The least time between two revisits; 5 ms by default.
    pub fn set_revisit_interval(&mut self, every: Duration) {
        self.revisits.set_interval(every);
    }

    /// The parent's status is to be written.
    pub fn report(&mut self, key: K, now: Instant) {
        if self.reporting.insert(key.clone()) {
            self.reports.push_back((key, now));
        }
    }

    /// The next piece of work; its parent counts as running until [`done`](Self::done).
    pub fn next(&mut self, now: Instant) -> Next<K> {
        self.now = Some(now);
        self.waited = None;
        while let Some((at, key)) = self.timers.pop_first_if_due(now) {
            debug_assert!(at <= now);
            self.timer_of.remove(&key);
            self.enqueue(key, Cause::Timer);
        }
        let is_overdue = self
            .reports
            .front()
            .is_some_and(|(_, since)| now.duration_since(*since) >= REPORT_PATIENCE);
        self.turn = self.turn.wrapping_add(1);
        let task = if self.turn.is_multiple_of(REVISIT_TURN) {
            self.next_revisit(now).or_else(|| self.next_due())
        } else if is_overdue && self.turn.is_multiple_of(2) {
            self.next_report().or_else(|| self.next_due())
        } else {
            self.next_due()
        };
        let task = task
            .or_else(|| self.next_report())
            .or_else(|| self.next_revisit(now));
        if let Some(task) = task {
            return Next::Run(task);
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        let times = timer.into_iter().chain(self.revisits.next_at(now));
        times.min().map_or(Next::Wait, Next::WaitUntil)
    }

    /// The work on this parent ended.
    pub fn done(&mut self, key: &K) {
        self.running.remove(key);
    }

    /// Whether nothing runs and no report waits: what a stopping host waits for.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.running.is_empty() && self.reports.is_empty()
    }

    /// Drops what is due and every appointment and takes no more; running work and reports go on.
    pub fn stop_reconciling(&mut self) {
        self.is_stopped = true;
        self.due.clear();
        self.causes.clear();
        self.timers.clear();
        self.timer_of.clear();
        self.revisits.clear();
    }

    fn enqueue(&mut self, key: K, cause: Cause) {
        if self.is_stopped {
            return;
        }
        let before = self.causes.get(&key).map(|(cause, _)| *cause);
        if before.is_none() {
            self.due.push_back(key.clone());
            self.added += 1;
        }
        // A retry is more than a look: it must not be lost to a change that arrived first.
        if before != Some(Cause::Timer) {
            let entry = self.causes.entry(key).or_insert((cause, self.now));
            entry.0 = cause;
        }
    }

    fn next_due(&mut self) -> Option<Task<K>> {
        let free = self
            .due
            .iter()
            .position(|key| !self.running.contains(key))?;
        let key = self.due.remove(free)?;
        let (cause, since) = self.causes.remove(&key)?;
        self.waited = since
            .zip(self.now)
            .map(|(since, now)| now.saturating_duration_since(since));
        self.running.insert(key.clone());
        Some(match cause {
            Cause::Change => Task::Reconcile(key),
            Cause::Timer => Task::Retry(key),
        })
    }

    fn next_report(&mut self) -> Option<Task<K>> {
        let free = self
            .reports
            .iter()
            .position(|(key, _)| !self.running.contains(key))?;
        let (key, _) = self.reports.remove(free)?;
        self.reporting.remove(&key);
        self.running.insert(key.clone());
        Some(Task::Report(key))
    }

    fn next_revisit(&mut self, now: Instant) -> Option<Task<K>> {
        let running = &self.running;
        let key = self.revisits.take(now, |key| !running.contains(key))?;
        self.running.insert(key.clone());
        Some(Task::Reconcile(key))
    }
}

trait PopDue<K> {
    fn pop_first_if_due(&mut self, now: Instant) -> Option<(Instant, K)>;
}

impl<K: Ord> PopDue<K> for BTreeSet<(Instant, K)> {
    fn pop_first_if_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        if self.first()?.0 > now {
            return None;
        }
        self.pop_first()
    }
}

#[cfg(test)]
mod tests {
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
}
