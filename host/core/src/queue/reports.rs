use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long a report may wait while parents are due.
const PATIENCE: Duration = Duration::from_secs(1);

/// The parents whose status is to be written, the one that has waited longest first.
#[derive(Debug)]
pub(super) struct Reports<K> {
    line: VecDeque<(K, Instant)>,
    known: HashSet<K>,
}

impl<K> Default for Reports<K> {
    fn default() -> Self {
        Self {
            line: VecDeque::new(),
            known: HashSet::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Reports<K> {
    pub(super) fn add(&mut self, key: K, now: Instant) {
        if self.known.insert(key.clone()) {
            self.line.push_back((key, now));
        }
    }

    /// The next one that is free.
    pub(super) fn take(&mut self, is_free: impl Fn(&K) -> bool) -> Option<K> {
        let index = self.line.iter().position(|(key, _)| is_free(key))?;
        let (key, _) = self.line.remove(index)?;
        self.known.remove(&key);
        Some(key)
    }

    /// Whether one has waited for so long that it goes before parents that are due.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let first = self.line.front();
        first.is_some_and(|(_, since)| now.duration_since(*since) >= PATIENCE)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}
