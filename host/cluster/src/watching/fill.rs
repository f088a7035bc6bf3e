use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether the first list of one watch is over.
pub(crate) struct Fill {
    is_settled: AtomicBool,
    settled: Arc<Notify>,
}

impl Fill {
    /// A list that has just begun. Its end is notified there.
    fn new(settled: &Arc<Notify>) -> Self {
        Self {
            is_settled: AtomicBool::new(false),
            settled: Arc::clone(settled),
        }
    }

    /// Whether the cache was filled, or the API server refused the list.
    fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }

    /// Notes that the list is over.
    pub(super) fn settle(&self) {
        if !self.is_settled.swap(true, Ordering::AcqRel) {
            self.settled.notify_one();
        }
    }
}

/// Whether the first lists of all watches are over.
#[derive(Clone, Default)]
pub(crate) struct FillProgress {
    fills: Vec<Arc<Fill>>,
    settled: Arc<Notify>,
}

impl FillProgress {
    /// One more watch.
    pub(super) fn add_watch(&mut self) -> Arc<Fill> {
        let fill = Arc::new(Fill::new(&self.settled));
        self.fills.push(fill.clone());
        fill
    }

    /// Whether each watch has filled its cache, or was refused by the API server.
    pub(crate) fn is_filled(&self) -> bool {
        self.fills.iter().all(|fill| fill.is_settled())
    }

    /// Waits until that is so.
    pub(crate) async fn filled(&self) {
        while !self.is_filled() {
            self.settled.notified().await;
        }
    }
}
