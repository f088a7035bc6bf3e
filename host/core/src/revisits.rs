use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Parents to be looked at again though nothing of them changed, since their handler did: one at a time,
/// at a bounded rate.
#[derive(Debug)]
pub(crate) struct Revisits<K> {
    line: VecDeque<K>,
    known: HashSet<K>,
    every: Duration,
    next_at: Option<Instant>,
}

impl<K> Default for Revisits<K> {
    fn default() -> Self {
        Self {
            line: VecDeque::new(),
            known: HashSet::new(),
            every: Duration::from_millis(5),
            next_at: None,
        }
    }
}

impl<K: Clone + Eq + Hash> Revisits<K> {
    pub(crate) fn set_interval(&mut self, every: Duration) {
        self.every = every;
    }

    pub(crate) fn add(&mut self, key: K) {
        if self.known.insert(key.clone()) {
            self.line.push_back(key);
        }
    }

    /// The next one, if its time has come and it is free.
    pub(crate) fn take(&mut self, now: Instant, is_free: impl Fn(&K) -> bool) -> Option<K> {
        if self.next_at.is_some_and(|at| at > now) {
            return None;
        }
        let index = self.line.iter().position(is_free)?;
        let key = self.line.remove(index)?;
        self.known.remove(&key);
        self.next_at = Some(now + self.every);
        Some(key)
    }

    /// When one may be taken that could not be taken now; None if that is not a matter of time.
    pub(crate) fn next_at(&self, now: Instant) -> Option<Instant> {
        let at = self.next_at.filter(|at| *at > now)?;
        (!self.line.is_empty()).then_some(at)
    }

    pub(crate) fn clear(&mut self) {
        self.line.clear();
        self.known.clear();
    }
}
