use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Whether the watches, requests and loops of the host make progress. Each of them has a [`Heartbeat`].
///
/// An outage of the API server does not count: a request that fails and is made again is progress.
#[derive(Clone, Debug)]
pub struct Liveness(Arc<Monitor>);

#[derive(Debug)]
struct Monitor {
    start: Instant,
    heartbeats: Mutex<Heartbeats>,
}

#[derive(Debug, Default)]
struct Heartbeats {
    next: u64,
    beating: BTreeMap<u64, Arc<Monitored>>,
}

#[derive(Debug)]
struct Monitored {
    what: String,
    of: HeartbeatOf,
    /// When it last made progress, in milliseconds since the start; `AT_REST` while it has nothing to do.
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

/// The heartbeat of one watch, request or loop. It is forgotten when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    liveness: Liveness,
    id: u64,
    known: Arc<Monitored>,
}

/// A watch, request or loop that should have made progress and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// Its name, for people.
    pub what: String,
    /// For how long it has made no progress.
    pub silent_for: Duration,
}

/// How many watches there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCounts {
    /// The watches that are open, stalled ones among them.
    pub open: usize,
    /// The watches that have been silent for too long.
    pub stalled: usize,
}

impl Default for Liveness {
    fn default() -> Self {
        Self(Arc::new(Monitor {
            start: Instant::now(),
            heartbeats: Mutex::default(),
        }))
    }
}

impl Liveness {
    /// A heartbeat of one more watch, request or loop, which makes progress now.
    #[must_use]
    pub fn heartbeat(&self, of: HeartbeatOf, what: String) -> Heartbeat {
        let known = Arc::new(Monitored {
            what,
            of,
            moved: AtomicU64::new(self.now()),
        });
        let mut heartbeats = self.0.heartbeats.lock();
        let id = heartbeats.next;
        heartbeats.next += 1;
        heartbeats.beating.insert(id, Arc::clone(&known));
        drop(heartbeats);
        Heartbeat {
            liveness: self.clone(),
            id,
            known,
        }
    }

    /// Everything that has made no progress for longer than `longest`.
    #[must_use]
    pub fn stalled(&self, longest: Duration) -> Vec<Stalled> {
        let now = self.now();
        let heartbeats = self.0.heartbeats.lock();
        let silent = heartbeats.beating.values().map(|known| Stalled {
            what: known.what.clone(),
            silent_for: known.silent_for(now),
        });
        silent.filter(|it| it.silent_for > longest).collect()
    }

    /// How many watches are open, and how many of them have been silent for longer than `longest`.
    #[must_use]
    pub fn watches(&self, longest: Duration) -> WatchCounts {
        let now = self.now();
        let heartbeats = self.0.heartbeats.lock();
        let watches = heartbeats.beating.values();
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

impl Monitored {
    fn silent_for(&self, now: u64) -> Duration {
        match self.moved.load(Ordering::Relaxed) {
            AT_REST => Duration::ZERO,
            moved => Duration::from_millis(now.saturating_sub(moved)),
        }
    }
}

impl Heartbeat {
    /// Notes progress.
    pub fn beat(&self) {
        self.known
            .moved
            .store(self.liveness.now(), Ordering::Relaxed);
    }

    /// Notes that there is nothing to do, so that no progress is expected.
    pub fn rest(&self) {
        self.known.moved.store(AT_REST, Ordering::Relaxed);
    }

    /// Notes that there is something to do. This is no progress by itself.
    pub fn wake(&self) {
        // A heartbeat that is not at rest keeps the time of its last progress.
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
        self.liveness.0.heartbeats.lock().beating.remove(&self.id);
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
        // To have something to do is no progress.
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
