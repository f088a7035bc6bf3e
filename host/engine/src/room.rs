//! The memory that calls have together, so that they never take more than the host has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::gate::{Gate, Inside};

/// What a call has from its begin. Most calls never need more.
const BEGIN: usize = 2 << 20;

/// The memory that a host has for calls, and for what it holds between them.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    /// The bytes for both.
    pub total: usize,
    /// The bytes that are held now. Calls have the rest, and always enough that two can begin.
    pub held: Arc<AtomicUsize>,
}

/// The memory for all calls. Calls begin with little and take more as they grow. The last quarter is for calls that
/// begin, so that those of small handlers go on while others grow.
///
/// A call that finds no more memory is stopped and made again as a large call, which is harmless, because handlers are pure
/// functions. Large calls have all their memory from their begin, and there is one of them at a time.
pub(crate) struct CallMemory {
    budget: MemoryBudget,
    taken: Mutex<usize>,
    left: Condvar,
    large: Gate,
}

/// The memory of one call. Dropping it gives the memory back.
pub(crate) struct Room {
    memory: Arc<CallMemory>,
    bytes: usize,
}

impl CallMemory {
    /// So much memory; None if there is no limit.
    pub(crate) fn new(budget: Option<MemoryBudget>) -> Arc<Self> {
        Arc::new(Self {
            budget: budget.unwrap_or_else(|| MemoryBudget {
                total: usize::MAX,
                held: Arc::default(),
            }),
            taken: Mutex::new(0),
            left: Condvar::new(),
            large: Gate::new(1),
        })
    }

    /// The most memory that a call can have now.
    pub(crate) fn most(&self) -> usize {
        let total = self.total();
        total - floor(total)
    }

    /// The memory of all calls now.
    fn total(&self) -> usize {
        let held = self.budget.held.load(Ordering::Relaxed);
        self.budget.total.saturating_sub(held).max(2 * BEGIN)
    }

    /// Waits until a call can begin.
    pub(crate) fn begin(self: &Arc<Self>) -> Room {
        self.take(|| BEGIN)
    }

    /// Waits for the turn of a large call.
    pub(crate) fn wait_for_large(&self) -> Inside<'_> {
        self.large.enter()
    }

    /// Waits until a large call can have all its memory. Only one caller at a time may wait for that.
    pub(crate) fn begin_large(self: &Arc<Self>, bytes: usize) -> Room {
        // While it waits, what is held may become more.
        self.take(|| bytes.min(self.most()))
    }

    fn take(self: &Arc<Self>, bytes: impl Fn() -> usize) -> Room {
        let mut taken = self.taken.lock();
        let has_no_room = |taken: &mut usize| *taken + bytes() > self.total();
        self.left.wait_while(&mut taken, has_no_room);
        let bytes = bytes();
        *taken += bytes;
        Room {
            memory: Arc::clone(self),
            bytes,
        }
    }
}

/// What only calls that begin may take of so much memory.
fn floor(total: usize) -> usize {
    (total / 4).max(BEGIN)
}

impl Room {
    /// Takes more memory, up to so many bytes in all, if there is as much.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let mut taken = self.memory.taken.lock();
        if more > 0 && taken.saturating_add(more) > self.memory.most() {
            return false;
        }
        *taken += more;
        self.bytes += more;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *self.memory.taken.lock() -= self.bytes;
        self.memory.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const MIB: usize = 1 << 20;

    fn memory(total: usize) -> (Arc<CallMemory>, Arc<AtomicUsize>) {
        let held = Arc::default();
        let budget = MemoryBudget {
            total,
            held: Arc::clone(&held),
        };
        (CallMemory::new(Some(budget)), held)
    }

    #[test]
    fn a_call_grows_while_there_is_memory_beside_the_last_quarter() {
        let (memory, _) = memory(16 * MIB);
        assert_eq!(memory.most(), 12 * MIB);
        let mut one = memory.begin();
        assert!(one.grow(12 * MIB));
        assert!(!one.grow(13 * MIB));
        let mut other = memory.begin();
        assert!(other.grow(BEGIN));
        assert!(!other.grow(BEGIN + 1));
        drop(one);
        assert!(other.grow(12 * MIB));
    }

    #[test]
    fn a_large_call_has_all_it_may_need_from_its_begin() {
        let (memory, _) = memory(16 * MIB);
        let mut large = memory.begin_large(100 * MIB);
        assert!(large.grow(12 * MIB));
        assert!(!large.grow(13 * MIB));
        drop(large);
        assert_eq!(*memory.taken.lock(), 0);
    }

    #[test]
    fn calls_that_begin_wait_for_those_that_end() {
        let (memory, _) = memory(4 * MIB);
        let first = [memory.begin(), memory.begin()];
        thread::scope(|scope| {
            let third = scope.spawn(|| drop(memory.begin()));
            drop(first);
            third.join().unwrap();
        });
        assert_eq!(*memory.taken.lock(), 0);
    }

    #[test]
    fn what_is_held_is_not_for_calls_but_two_can_always_begin() {
        let (memory, held) = memory(16 * MIB);
        held.store(8 * MIB, Ordering::Relaxed);
        assert_eq!(memory.most(), 6 * MIB);
        let mut one = memory.begin();
        assert!(!one.grow(7 * MIB));
        held.store(100 * MIB, Ordering::Relaxed);
        let other = memory.begin();
        assert!(!one.grow(2 * MIB + 1));
        drop([one, other]);
        // All that it can have now.
        assert_eq!(memory.begin_large(12 * MIB).bytes, 2 * MIB);
    }

    #[test]
    fn without_a_limit_every_call_has_what_it_asks_for() {
        let memory = CallMemory::new(None);
        let mut rooms: Vec<_> = (0..100).map(|_| memory.begin()).collect();
        assert!(rooms.iter_mut().all(|room| room.grow(1 << 30)));
    }
}
