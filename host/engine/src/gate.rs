use parking_lot::{Condvar, Mutex};

/// Lets a number of threads in at a time; the others wait.
pub(crate) struct Gate {
    free: Mutex<u32>,
    left: Condvar,
}

/// A thread's place inside. Dropping it gives the place back.
pub(crate) struct Inside<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(places: u32) -> Self {
        Self {
            free: Mutex::new(places),
            left: Condvar::new(),
        }
    }

    /// Waits for a place.
    pub(crate) fn enter(&self) -> Inside<'_> {
        let mut free = self.free.lock();
        self.left.wait_while(&mut free, |free| *free == 0);
        *free -= 1;
        Inside(self)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn no_more_threads_are_inside_than_there_are_places() {
        let gate = Gate::new(2);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _place = gate.enter();
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
        assert_eq!(*gate.free.lock(), 2);
    }

    #[test]
    fn all_places_can_be_taken_at_once() {
        let gate = Gate::new(2);
        let both = Barrier::new(2);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _place = gate.enter();
                    both.wait();
                });
            }
        });
    }

    #[test]
    fn a_thread_that_panics_inside_leaves_its_place() {
        let gate = Gate::new(1);
        let panicked = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let _place = gate.enter();
                panic!("inside");
            });
            inside.join()
        });
        assert!(panicked.is_err());
        drop(gate.enter());
    }
}
