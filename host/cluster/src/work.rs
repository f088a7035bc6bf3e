use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handler_host_core::{Key, Next, Queue, Task};
use tokio::sync::Notify;

/// The queue as workers share it: they sleep while there is nothing to do.
#[derive(Default)]
pub(crate) struct Work {
    queue: Mutex<Queue<Key>>,
    added: Notify,
    ended: Notify,
}

impl Work {
    /// Changes the queue and wakes a worker.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Queue<Key>)) {
        change(&mut self.queue());
        self.added.notify_one();
    }

    /// Waits for the next piece of work.
    pub(crate) async fn next(&self) -> Task<Key> {
        loop {
            let next = self.queue().next(Instant::now());
            match next {
                Next::Run(task) => {
                    // There may be more: one wake-up starts one worker, which starts the next.
                    self.added.notify_one();
                    return task;
                }
                Next::Wait => self.added.notified().await,
                Next::WaitUntil(at) => {
                    // Whether time or an addition ended the wait makes no difference.
                    let _ = tokio::time::timeout_at(at.into(), self.added.notified()).await;
                }
            }
        }
    }

    /// The work on a parent ended.
    pub(crate) fn done(&self, key: &Key) {
        self.change(|queue| queue.done(key));
        self.ended.notify_one();
    }

    /// Takes no more reconciles and waits until what runs and what is to be reported has ended, or the
    /// patience has.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.change(Queue::stop_reconciling);
        let quiet = async {
            while !self.queue().is_quiet() {
                self.ended.notified().await;
            }
        };
        // Whoever is not done by then is cut off; a restart finds out what is missing.
        let _ = tokio::time::timeout(patience, quiet).await;
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Key>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
