use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// The times at which parents are due though nothing of them changes, at most one for each parent.
#[derive(Debug)]
pub(super) struct Timers<K> {
    by_time: BTreeSet<(Instant, K)>,
    of_key: HashMap<K, Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            by_time: BTreeSet::new(),
            of_key: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Timers<K> {
    /// Sets the time of a key, in place of an earlier one.
    pub(super) fn set(&mut self, key: K, at: Instant) {
        self.cancel(&key);
        self.of_key.insert(key.clone(), at);
        self.by_time.insert((at, key));
    }

    /// Sets the time of a key, unless it is due sooner.
    pub(super) fn set_if_sooner(&mut self, key: K, at: Instant) {
        if self.of_key.get(&key).is_none_or(|known| *known > at) {
            self.set(key, at);
        }
    }

    /// Forgets the time of a key.
    pub(super) fn cancel(&mut self, key: &K) {
        if let Some(at) = self.of_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// The next key whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<K> {
        if self.next_at()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.of_key.remove(&key);
        Some(key)
    }

    /// The earliest time.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Forgets all times.
    pub(super) fn clear(&mut self) {
        self.by_time.clear();
        self.of_key.clear();
    }
}
