//! The memory that calls have together, so that they never take more than the host has.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::gate::{Gate, Inside};

/// What a call has from its begin. Most calls never need more.
const BEGIN: usize = 2 << 20;

/// The memory for all calls. Calls begin with little and take more as they grow. The last quarter is for calls that
/// begin, so that those of small handlers go on while others grow.
///
/// A call that finds no more memory is stopped and made again as a large call, which is harmless, because handlers are pure
/// functions. Large calls have all their memory from their begin, and there is one of them at a time.
pub(crate) struct CallMemory {
    total: usize,
    free: Mutex<usize>,
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
    pub(crate) fn new(total: Option<usize>) -> Arc<Self> {
        let total = total.unwrap_or(usize::MAX).max(2 * BEGIN);
        Arc::new(Self {
            total,
            free: Mutex::new(total),
            left: Condvar::new(),
            large: Gate::new(1),
        })
    }

    /// The most memory that a call can have.
    pub(crate) fn most(&self) -> usize {
        self.total - self.floor()
    }

    /// What only calls that begin may take.
    fn floor(&self) -> usize {
        (self.total / 4).max(BEGIN)
    }

    /// Waits until a call can begin.
    pub(crate) fn begin(self: &Arc<Self>) -> Room {
        self.take(BEGIN)
    }

    /// Waits for the turn of a large call.
    pub(crate) fn wait_for_large(&self) -> Inside<'_> {
        self.large.enter()
    }

    /// Waits until a large call can have all its memory. Only one caller at a time may wait for that.
    pub(crate) fn begin_large(self: &Arc<Self>, bytes: usize) -> Room {
        self.take(bytes.min(self.most()))
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Room {
        let mut free = self.free.lock();
        self.left.wait_while(&mut free, |free| *free < bytes);
        *free -= bytes;
        Room {
            memory: Arc::clone(self),
            bytes,
        }
    }
}

impl Room {
    /// Takes more memory, up to so many bytes in all, if there is as much.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let mut free = self.memory.free.lock();
        if more > 0 && free.saturating_sub(self.memory.floor()) < more {
            return false;
        }
        *free -= more;
        self.bytes += more;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *self.memory.free.lock() += self.bytes;
        self.memory.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_call_grows_while_there_is_memory_beside_the_last_quarter() {
        let memory = CallMemory::new(Some(16 * MIB));
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
        let memory = CallMemory::new(Some(16 * MIB));
        let mut large = memory.begin_large(100 * MIB);
        assert!(large.grow(12 * MIB));
        assert!(!large.grow(13 * MIB));
        drop(large);
        assert_eq!(*memory.free.lock(), 16 * MIB);
    }

    #[test]
    fn calls_that_begin_wait_for_those_that_end() {
        let memory = CallMemory::new(Some(4 * MIB));
        let first = [memory.begin(), memory.begin()];
        thread::scope(|scope| {
            let third = scope.spawn(|| drop(memory.begin()));
            drop(first);
            third.join().unwrap();
        });
        assert_eq!(*memory.free.lock(), 4 * MIB);
    }

    #[test]
    fn without_a_limit_every_call_has_what_it_asks_for() {
        let memory = CallMemory::new(None);
        let mut rooms: Vec<_> = (0..100).map(|_| memory.begin()).collect();
        assert!(rooms.iter_mut().all(|room| room.grow(1 << 30)));
    }
}
