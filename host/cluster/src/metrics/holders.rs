use std::collections::HashMap;

use parking_lot::Mutex;

use super::labels::HandlerName;

/// How many [`HandlerMetrics`](super::HandlerMetrics) there are of each handler. New ones may be made before the
/// earlier ones are dropped, and both have the same series.
#[derive(Default)]
pub(super) struct Holders(Mutex<HashMap<HandlerName, usize>>);

impl Holders {
    /// Counts one more holder.
    pub(super) fn enter(&self, handler: &HandlerName) {
        *self.0.lock().entry(handler.clone()).or_default() += 1;
    }

    /// Counts one holder less. The last one removes the series, before another can make them again.
    pub(super) fn leave(&self, handler: &HandlerName, remove: impl FnOnce()) {
        let mut holders = self.0.lock();
        if let Some(count) = holders.get_mut(handler) {
            *count -= 1;
            if *count == 0 {
                holders.remove(handler);
                remove();
            }
        }
    }
}
