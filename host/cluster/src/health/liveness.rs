use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Whether everything in the host that should move does: each such thing has a [`Heartbeat`].
///
/// An outage of the API server is no matter of this: what fails and is tried again moves.
#[derive(Clone, Debug)]
pub struct Liveness(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    start: Instant,
    heartbeats: Mutex<Heartbeats>,
}

#[derive(Debug, Default)]
struct Heartbeats {
    next: u64,
    known: BTreeMap<u64, Arc<Watched>>,
}

#[derive(Debug)]
struct Watched {
    what: String,
    of: HeartbeatOf,
    /// When it last moved, in milliseconds since the start; `AT_REST` while it has nothing to do.
    moved: AtomicU64,
}

const AT_REST: u64 = u64::MAX;

/// What has a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatOf {
    /// A watch, whose server sends a bookmark each minute when there is nothing else.
    Watch,
    /// Any other request to the API server.
    Request,
    /// A loop of the host.
    Loop,
}

/// The sign of life of one thing, which is forgotten when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    liveness: Liveness,
    id: u64,
    known: Arc<Watched>,
}

/// Something that should have moved and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// What, for people.
    pub what: String,
    /// Since when.
    pub silent_for: Duration,
}

/// How the watches stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCounts {
    /// Those that are open, stalled ones among them.
    pub open: usize,
    /// Those that have been silent for too long.
    pub stalled: usize,
}

impl Default for Liveness {
    fn default() -> Self {
        Self(Arc::new(Registry {
            start: Instant::now(),
            heartbeats: Mutex::default(),
        }))
    }
}

impl Liveness {
    /// Looks after one more thing, which moves now.
    #[must_use]
    pub fn heartbeat(&self, of: HeartbeatOf, what: String) -> Heartbeat {
        let known = Arc::new(Watched {
            what,
            of,
            moved: AtomicU64::new(self.now()),
        });
        let mut heartbeats = self.0.heartbeats.lock();
        let id = heartbeats.next;
        heartbeats.next += 1;
        heartbeats.known.insert(id, Arc::clone(&known));
        drop(heartbeats);
        Heartbeat {
            liveness: self.clone(),
            id,
            known,
        }
    }

    /// What has not moved for longer than this.
    #[must_use]
    pub fn stalled(&self, longest: Duration) -> Vec<Stalled> {
        let now = self.now();
        let heartbeats = self.0.heartbeats.lock();
        let silent = heartbeats.known.values().map(|known| Stalled {
            what: known.what.clone(),
            silent_for: known.silent_for(now),
        });
        silent.filter(|it| it.silent_for > longest).collect()
    }

    /// How the watches stand.
    #[must_use]
    pub fn watches(&self, longest: Duration) -> WatchCounts {
        let now = self.now();
        let heartbeats = self.0.heartbeats.lock();
        let watches = heartbeats.known.values();
        let mut counts = WatchCounts::default();
        for watch in watches.filter(|known| known.of == HeartbeatOf::Watch) {
            counts.open += 1;
            counts.stalled += usize::from(watch.silent_for(now) > longest);
        }
        counts
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(AT_REST - 1)
    }
}

impl Watched {
    fn silent_for(&self, now: u64) -> Duration {
        match self.moved.load(Ordering::Relaxed) {
            AT_REST => Duration::ZERO,
            moved => Duration::from_millis(now.saturating_sub(moved)),
        }
    }
}

impl Heartbeat {
    /// It moved.
    pub fn beat(&self) {
        self.known
            .moved
            .store(self.liveness.now(), Ordering::Relaxed);
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
            self.liveness.now(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.liveness.0.heartbeats.lock().known.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalled(liveness: &Liveness) -> Vec<String> {
        let stalled = liveness.stalled(Duration::from_millis(20)).into_iter();
        stalled.map(|it| it.what).collect()
    }

    fn wait_until_silent(liveness: &Liveness, what: &str) {
        let start = Instant::now();
        while !stalled(liveness).contains(&what.to_owned()) {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_does_not_move_is_stalled_until_it_does_or_is_gone() {
        let liveness = Liveness::default();
        let [a, b, c] =
            ["a", "b", "c"].map(|it| liveness.heartbeat(HeartbeatOf::Loop, it.to_owned()));
        c.rest();
        wait_until_silent(&liveness, "b");
        a.beat();
        c.wake();
        assert!(!stalled(&liveness).contains(&"a".to_owned()));
        assert!(!stalled(&liveness).contains(&"c".to_owned()));
        drop(b);
        assert!(!stalled(&liveness).contains(&"b".to_owned()));
        wait_until_silent(&liveness, "c");
        // To be awake is no movement.
        c.wake();
        assert!(stalled(&liveness).contains(&"c".to_owned()));
        c.rest();
        assert!(!stalled(&liveness).contains(&"c".to_owned()));
    }

    #[test]
    fn watches_are_counted_apart_from_what_else_moves() {
        let liveness = Liveness::default();
        let _loop = liveness.heartbeat(HeartbeatOf::Loop, "loop".to_owned());
        let watch = liveness.heartbeat(HeartbeatOf::Watch, "watch".to_owned());
        let other = liveness.heartbeat(HeartbeatOf::Watch, "other".to_owned());
        wait_until_silent(&liveness, "other");
        watch.beat();
        let counts = liveness.watches(Duration::from_millis(20));
        assert_eq!((counts.open, counts.stalled), (2, 1));
        drop(other);
        assert_eq!(liveness.watches(Duration::MAX).open, 1);
    }
}
