use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use handler_host_core::{Key, Next, Queue, Task};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::health::Heartbeat;
use crate::metrics::HandlerMetrics;

/// The queue as workers share it: they sleep while there is nothing to do.
pub(crate) struct WorkQueue {
    queue: Mutex<Queue<Key>>,
    metrics: Arc<HandlerMetrics>,
    /// Whether the workers move; there is none before they begin.
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

    /// From now on there are workers, and this tells whether they move.
    pub(crate) fn begins(&self, heartbeat: Heartbeat) {
        let _ = self.heartbeat.set(heartbeat);
        self.change(|_| {});
    }

    /// Notes a change that somebody saw. Before there are workers nobody needs to know: they begin with
    /// everything there is.
    pub(crate) fn note(&self, key: Key) {
        if self.heartbeat.get().is_some() {
            self.change(|queue| queue.add(key));
        }
    }

    /// The workers move.
    pub(crate) fn moves(&self) {
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
                    self.moves();
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

    fn take(&self) -> Next<Key> {
        let mut queue = self.queue.lock();
        let before = queue.added();
        let next = queue.next(Instant::now());
        // Appointments whose time has come become due here.
        self.metrics.queue_is(queue.depth(), queue.added() - before);
        self.metrics.taken(queue.waited());
        next
    }

    /// The work on a parent ended.
    pub(crate) fn done(&self, key: &Key) {
        self.moves();
        self.change(|queue| queue.done(key));
        self.ended.notify_one();
    }

    /// Takes no more reconciles and waits until what runs and what is to be reported has ended, or the
    /// patience has.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.change(Queue::stop_reconciling);
        let quiet = async {
            while !self.queue.lock().is_quiet() {
                self.ended.notified().await;
            }
        };
        // Whoever is not done by then is cut off; a restart finds out what is missing.
        let _ = tokio::time::timeout(patience, quiet).await;
    }
}
