use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use handler_host_core::{Key, Next, Queue, Task};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::health::Heartbeat;
use crate::metrics::HandlerMetrics;

/// The queue of parents to reconcile, shared by workers, who sleep while there is nothing to do.
pub(crate) struct WorkQueue {
    queue: Mutex<Queue<Key>>,
    metrics: Arc<HandlerMetrics>,
    /// Beats when a worker makes progress; there is none before the workers begin.
    heartbeat: OnceLock<Heartbeat>,
    added: Notify,
    ended: Notify,
}

impl WorkQueue {
    pub(crate) fn new(metrics: Arc<HandlerMetrics>) -> Self {
        Self {
            queue: Mutex::default(),
            metrics,
            heartbeat: OnceLock::new(),
            added: Notify::default(),
            ended: Notify::default(),
        }
    }

    /// From now on there are workers. This heartbeat shows that they make progress.
    pub(crate) fn begin(&self, heartbeat: Heartbeat) {
        let _ = self.heartbeat.set(heartbeat);
        self.change(|_| {});
    }

    /// Adds a parent that changed. Before there are workers it is not added, since they begin with all parents.
    pub(crate) fn add(&self, key: Key) {
        if self.heartbeat.get().is_some() {
            self.change(|queue| queue.add(key));
        }
    }

    /// Notes that a worker makes progress.
    pub(crate) fn beat(&self) {
        if let Some(heartbeat) = self.heartbeat.get() {
            heartbeat.beat();
        }
    }

    /// Changes the queue and wakes a worker.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Queue<Key>)) {
        let mut queue = self.queue.lock();
        let before = queue.added();
        queue.set_time(Instant::now());
        change(&mut queue);
        self.metrics.queue_is(queue.depth(), queue.added() - before);
        if let Some(heartbeat) = self.heartbeat.get() {
            if queue.is_busy() {
                heartbeat.wake();
            } else {
                heartbeat.rest();
            }
        }
        drop(queue);
        self.added.notify_one();
    }

    /// Waits for the next piece of work.
    pub(crate) async fn next(&self) -> Task<Key> {
        loop {
            let next = self.take();
            match next {
                Next::Run(task) => {
                    self.beat();
                    // There may be more to do: each worker that begins wakes the next one.
                    self.added.notify_one();
                    return task;
                }
                Next::Wait => self.added.notified().await,
                Next::WaitUntil(at) => {
                    // The queue is asked again, whether time or an addition ended the wait.
                    let _ = tokio::time::timeout_at(at.into(), self.added.notified()).await;
                }
            }
        }
    }

    fn take(&self) -> Next<Key> {
        let mut queue = self.queue.lock();
        let before = queue.added();
        let next = queue.next(Instant::now());
        // The parents of appointments whose time has come were added here.
        self.metrics.queue_is(queue.depth(), queue.added() - before);
        self.metrics.taken(queue.waited());
        next
    }

    /// The work on a parent ended.
    pub(crate) fn done(&self, key: &Key) {
        self.beat();
        self.change(|queue| queue.done(key));
        self.ended.notify_one();
    }

    /// Drops the parents that are due, and waits until running work and all reports are done, but not longer than
    /// `patience`.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.change(Queue::stop_reconciling);
        let quiet = async {
            while !self.queue.lock().is_quiet() {
                self.ended.notified().await;
            }
        };
        // Work that takes longer is cut off. After a restart every parent is reconciled anyway.
        let _ = tokio::time::timeout(patience, quiet).await;
    }
}
