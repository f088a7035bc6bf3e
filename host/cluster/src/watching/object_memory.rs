use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory for the objects of all handlers together, as far as they are in caches.
///
/// What exists in the cluster is watched and held, however much it is. Only what would make it more is refused: a handler
/// may have children created while its objects take at most three times what is left for all. So one handler alone gets
/// three quarters, and one that never has enough leaves something to every other.
#[derive(Clone, Debug)]
pub struct ObjectMemory {
    total: usize,
    held: Arc<AtomicUsize>,
}

/// How often a handler may hold what is left for all.
const SHARE: usize = 3;

impl ObjectMemory {
    /// So many bytes; None sets no bound. What the caches hold is added to `held`.
    #[must_use]
    pub fn new(total: Option<usize>, held: Arc<AtomicUsize>) -> Self {
        let total = total.unwrap_or(usize::MAX);
        Self { total, held }
    }

    fn left(&self) -> usize {
        self.total.saturating_sub(self.held.load(Ordering::Relaxed))
    }
}

impl Default for ObjectMemory {
    fn default() -> Self {
        Self::new(None, Arc::default())
    }
}

/// The memory for the objects of one handler. Its caches share it.
#[derive(Debug, Default)]
pub(crate) struct HandlerObjects {
    all: ObjectMemory,
    held: AtomicUsize,
}

/// A handler's objects would take more memory than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    /// The bytes that its objects take.
    pub(crate) held: usize,
    /// The bytes that are left for the objects of all handlers.
    pub(crate) left: usize,
}

impl HandlerObjects {
    pub(crate) fn new(all: &ObjectMemory) -> Self {
        Self {
            all: all.clone(),
            held: AtomicUsize::new(0),
        }
    }

    pub(super) fn add(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.all.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.all.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether objects may take so many bytes more.
    pub(crate) fn has_room(&self, more: usize) -> Result<(), NoRoom> {
        let (held, left) = (self.held.load(Ordering::Relaxed), self.all.left());
        let after = left.saturating_sub(more);
        if more <= left && held.saturating_add(more) <= after.saturating_mul(SHARE) {
            Ok(())
        } else {
            Err(NoRoom { held, left })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds objects of 1 kB until no more may be.
    fn fill(handler: &HandlerObjects) -> usize {
        while handler.has_room(1000).is_ok() {
            handler.add(1000);
        }
        handler.held.load(Ordering::Relaxed)
    }

    #[test]
    fn one_handler_gets_three_quarters_and_leaves_the_rest_to_others() {
        let all = ObjectMemory::new(Some(1_000_000), Arc::default());
        let [hog, other] = [(); 2].map(|()| HandlerObjects::new(&all));
        assert_eq!(fill(&hog), 750_000);
        assert_eq!(other.has_room(1000), Ok(()));
        assert_eq!(fill(&other), 187_000);
        hog.give_back(700_000);
        assert_eq!(hog.has_room(1000), Ok(()));
    }

    #[test]
    fn more_than_is_left_is_refused_with_what_is_held_and_left() {
        let all = ObjectMemory::new(Some(1000), Arc::default());
        let handler = HandlerObjects::new(&all);
        handler.add(600);
        let refused = NoRoom {
            held: 600,
            left: 400,
        };
        assert_eq!(handler.has_room(401), Err(refused));
        // What exists is held, also if it is more than there may be.
        handler.add(1000);
        let refused = NoRoom {
            held: 1600,
            left: 0,
        };
        assert_eq!(handler.has_room(1), Err(refused));
    }

    #[test]
    fn without_a_bound_there_is_always_room() {
        let handler = HandlerObjects::default();
        handler.add(1 << 50);
        assert_eq!(handler.has_room(1 << 50), Ok(()));
    }
}
