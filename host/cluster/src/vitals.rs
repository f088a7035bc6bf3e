use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether everything in the host that should move does: each such thing has a [`Pulse`].
///
/// An outage of the API server is no matter of this: what fails and is tried again moves.
#[derive(Clone, Debug)]
pub struct Vitals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    pulses: Mutex<Pulses>,
}

#[derive(Debug, Default)]
struct Pulses {
    next: u64,
    known: BTreeMap<u64, Arc<Known>>,
}

#[derive(Debug)]
struct Known {
    what: String,
    of: PulseOf,
    /// When it last moved, in milliseconds since the start; `AT_REST` while it has nothing to do.
    moved: AtomicU64,
}

const AT_REST: u64 = u64::MAX;

/// What has a pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulseOf {
    /// A watch, whose server sends a bookmark each minute when there is nothing else.
    Watch,
    /// Any other request to the API server.
    Request,
    /// A loop of the host.
    Loop,
}

/// The sign of life of one thing, which is forgotten when this is dropped.
#[derive(Debug)]
pub struct Pulse {
    vitals: Vitals,
    id: u64,
    known: Arc<Known>,
}

/// Something that should have moved and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wedged {
    /// What, for people.
    pub what: String,
    /// Since when.
    pub silent_for: Duration,
}

/// How the watches stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watches {
    /// Those that are open, stalled ones among them.
    pub open: usize,
    /// Those that have been silent for too long.
    pub stalled: usize,
}

impl Default for Vitals {
    fn default() -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            pulses: Mutex::default(),
        }))
    }
}

impl Vitals {
    /// Looks after one more thing, which moves now.
    #[must_use]
    pub fn pulse(&self, of: PulseOf, what: String) -> Pulse {
        let known = Arc::new(Known {
            what,
            of,
            moved: AtomicU64::new(self.now()),
        });
        let mut pulses = self.pulses();
        let id = pulses.next;
        pulses.next += 1;
        pulses.known.insert(id, Arc::clone(&known));
        drop(pulses);
        Pulse {
            vitals: self.clone(),
            id,
            known,
        }
    }

    /// What has not moved for longer than this.
    #[must_use]
    pub fn wedged(&self, longest: Duration) -> Vec<Wedged> {
        let now = self.now();
        let pulses = self.pulses();
        let silent = pulses.known.values().map(|known| Wedged {
            what: known.what.clone(),
            silent_for: known.silent_for(now),
        });
        silent.filter(|it| it.silent_for > longest).collect()
    }

    /// How the watches stand.
    #[must_use]
    pub fn watches(&self, longest: Duration) -> Watches {
        let now = self.now();
        let pulses = self.pulses();
        let watches = pulses.known.values();
        let mut counts = Watches::default();
        for watch in watches.filter(|known| known.of == PulseOf::Watch) {
            counts.open += 1;
            counts.stalled += usize::from(watch.silent_for(now) > longest);
        }
        counts
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(AT_REST - 1)
    }

    fn pulses(&self) -> MutexGuard<'_, Pulses> {
        self.0.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn silent_for(&self, now: u64) -> Duration {
        match self.moved.load(Ordering::Relaxed) {
            AT_REST => Duration::ZERO,
            moved => Duration::from_millis(now.saturating_sub(moved)),
        }
    }
}

impl Pulse {
    /// It moved.
    pub fn beat(&self) {
        self.known.moved.store(self.vitals.now(), Ordering::Relaxed);
    }

    /// It has nothing to do, and is not expected to move.
    pub fn rest(&self) {
        self.known.moved.store(AT_REST, Ordering::Relaxed);
    }

    /// It has something to do; that it moved, somebody else says.
    pub fn wake(&self) {
        // One that is awake keeps the time of its last move.
        let _ = self.known.moved.compare_exchange(
            AT_REST,
            self.vitals.now(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.vitals.pulses().known.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wedged(vitals: &Vitals) -> Vec<String> {
        let wedged = vitals.wedged(Duration::from_millis(20)).into_iter();
        wedged.map(|it| it.what).collect()
    }

    fn wait_until_silent(vitals: &Vitals, what: &str) {
        let start = Instant::now();
        while !wedged(vitals).contains(&what.to_owned()) {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_does_not_move_is_wedged_until_it_does_or_is_gone() {
        let vitals = Vitals::default();
        let [a, b, c] = ["a", "b", "c"].map(|it| vitals.pulse(PulseOf::Loop, it.to_owned()));
        c.rest();
        wait_until_silent(&vitals, "b");
        a.beat();
        c.wake();
        assert!(!wedged(&vitals).contains(&"a".to_owned()));
        assert!(!wedged(&vitals).contains(&"c".to_owned()));
        drop(b);
        assert!(!wedged(&vitals).contains(&"b".to_owned()));
        wait_until_silent(&vitals, "c");
        // To be awake is no movement.
        c.wake();
        assert!(wedged(&vitals).contains(&"c".to_owned()));
        c.rest();
        assert!(!wedged(&vitals).contains(&"c".to_owned()));
    }

    #[test]
    fn watches_are_counted_apart_from_what_else_moves() {
        let vitals = Vitals::default();
        let _loop = vitals.pulse(PulseOf::Loop, "loop".to_owned());
        let watch = vitals.pulse(PulseOf::Watch, "watch".to_owned());
        let other = vitals.pulse(PulseOf::Watch, "other".to_owned());
        wait_until_silent(&vitals, "other");
        watch.beat();
        let counts = vitals.watches(Duration::from_millis(20));
        assert_eq!((counts.open, counts.stalled), (2, 1));
        drop(other);
        assert_eq!(vitals.watches(Duration::MAX).open, 1);
    }
}
