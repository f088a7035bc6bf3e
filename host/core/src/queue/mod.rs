use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use self::reports::Reports;
use self::revisits::Revisits;
use self::timers::Timers;

mod backoff;
mod byte_budget;
mod reports;
mod revisits;
mod timers;
mod token_bucket;

pub use self::backoff::Backoff;
pub use self::byte_budget::ByteBudget;
pub use self::token_bucket::TokenBucket;

/// One turn in so many is for a revisit, if any is due, however much else there is to do.
const REVISIT_TURN: usize = 8;

/// What to work on next, children before reports.
///
/// A parent is worked on by one worker at a time. What arrives meanwhile is kept for afterwards, once.
///
/// The order is: parents that changed, then reports, then revisits of parents whose handler changed. A parent is
/// served when its children exist, so its report comes after the children of others. Two exceptions see to it that
/// none of the three starves: a report that has waited for a second takes every second turn, and one turn in eight
/// is a revisit's, at a bounded rate.
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
    reports: Reports<K>,
    timers: Timers<K>,
    running: HashSet<K>,
    revisits: Revisits<K>,
    turn: usize,
    is_stopped: bool,
    is_paused: bool,
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task<K> {
    /// Reconcile the parent: call the handler if anything changed.
    Reconcile(K),
    /// Reconcile the parent: call the handler though nothing may have changed.
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
            reports: Reports::default(),
            timers: Timers::default(),
            running: HashSet::new(),
            revisits: Revisits::default(),
            turn: 0,
            is_stopped: false,
            is_paused: false,
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// Sets the time at which whatever is added from now on is added.
    pub fn set_time(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// How many parents are due.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.due.len()
    }

    /// How many parents became due, ever.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added
    }

    /// How long the parent was due that [`next`](Self::next) gave last. None if that was a report or a revisit,
    /// which wait by design.
    #[must_use]
    pub fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// Whether a worker should be at work: a parent is due, or is worked on.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.running.is_empty() || !self.is_paused && !self.due.is_empty()
    }

    /// The parent is due, since something about it changed.
    pub fn add(&mut self, key: K) {
        self.enqueue(key, Cause::Change);
    }

    /// The parent is due though nothing of it changed.
    pub fn retry_now(&mut self, key: K) {
        self.enqueue(key, Cause::Timer);
    }

    /// The parent is due at `at`, and no more at an earlier appointment.
    pub fn retry_at(&mut self, key: K, at: Instant) {
        self.timers.set(key, at);
    }

    /// The parent is due at `at` or, if it has an earlier appointment, then.
    pub fn retry_by(&mut self, key: K, at: Instant) {
        self.timers.set_if_sooner(key, at);
    }

    /// Forgets the parent's appointment.
    pub fn cancel_timer(&mut self, key: &K) {
        self.timers.cancel(key);
    }

    /// The parent is due when there is time for it, since its handler changed.
    pub fn revisit(&mut self, key: K) {
        if !self.is_stopped {
            self.revisits.add(key);
        }
    }

    /// Sets the least time between two revisits; 5 ms by default.
    pub fn set_revisit_interval(&mut self, every: Duration) {
        self.revisits.set_interval(every);
    }

    /// The parent's status is to be written.
    pub fn report(&mut self, key: K, now: Instant) {
        self.reports.add(key, now);
    }

    /// Holds all work back, or gives it out again. What arrives meanwhile is kept.
    pub fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// The next piece of work; its parent counts as running until [`done`](Self::done).
    pub fn next(&mut self, now: Instant) -> Next<K> {
        self.now = Some(now);
        self.waited = None;
        if self.is_paused {
            return Next::Wait;
        }
        while let Some(key) = self.timers.take_due(now) {
            self.enqueue(key, Cause::Timer);
        }
        let is_overdue = self.reports.is_overdue(now);
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
        let timer = self.timers.next_at();
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
        self.running.is_empty() && (self.is_paused || self.reports.is_empty())
    }

    /// Drops what is due and every appointment and takes no more; running work and reports go on.
    pub fn stop_reconciling(&mut self) {
        self.is_stopped = true;
        self.due.clear();
        self.causes.clear();
        self.timers.clear();
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
        // A retry calls the handler also where nothing changed: a change that arrived first must not replace it.
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
        let running = &self.running;
        let key = self.reports.take(|key| !running.contains(key))?;
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

#[cfg(test)]
mod tests;
