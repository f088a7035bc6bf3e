use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// How far the first filling of a cache is.
pub(crate) struct Fill {
    is_settled: AtomicBool,
    settled: Arc<Notify>,
}

impl Fill {
    /// Just begun; the end is told there.
    fn new(settled: &Arc<Notify>) -> Self {
        Self {
            is_settled: AtomicBool::new(false),
            settled: Arc::clone(settled),
        }
    }

    /// It is full, or the API server refuses what would fill it.
    fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }

    pub(super) fn settle(&self) {
        if !self.is_settled.swap(true, Ordering::AcqRel) {
            self.settled.notify_one();
        }
    }
}

/// How far the first filling of all caches is.
#[derive(Clone, Default)]
pub(crate) struct FillProgress {
    fills: Vec<Arc<Fill>>,
    settled: Arc<Notify>,
}

impl FillProgress {
    pub(super) fn one_more(&mut self) -> Arc<Fill> {
        let fill = Arc::new(Fill::new(&self.settled));
        self.fills.push(fill.clone());
        fill
    }

    /// Whether each watch has come as far as it can: its cache is filled, or the API server refuses it.
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
