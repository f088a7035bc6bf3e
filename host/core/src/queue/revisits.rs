use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The parents to reconcile since the module was swapped, although nothing of them changed: one at a time, at a
/// bounded rate.
#[derive(Debug)]
pub(super) struct Revisits<K> {
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
    pub(super) fn set_interval(&mut self, every: Duration) {
        self.every = every;
    }

    pub(super) fn add(&mut self, key: K) {
        if self.known.insert(key.clone()) {
            self.line.push_back(key);
        }
    }

    /// The next parent that is free, if the time has come.
    pub(super) fn take(&mut self, now: Instant, is_free: impl Fn(&K) -> bool) -> Option<K> {
        if self.next_at.is_some_and(|at| at > now) {
            return None;
        }
        let index = self.line.iter().position(is_free)?;
        let key = self.line.remove(index)?;
        self.known.remove(&key);
        self.next_at = Some(now + self.every);
        Some(key)
    }

    /// When the next parent may be taken; None if there is none, or if it only has to become free.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let at = self.next_at.filter(|at| *at > now)?;
        (!self.line.is_empty()).then_some(at)
    }

    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.known.clear();
    }
}
