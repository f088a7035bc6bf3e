use std::collections::HashMap;

use parking_lot::Mutex;

use super::labels::Name;

/// How many hold the series of each handler. Series are shared by name, and a handler's metrics may be made
/// anew before the earlier ones are dropped.
#[derive(Default)]
pub(super) struct Holders(Mutex<HashMap<Name, usize>>);

impl Holders {
    /// Counts one more holder.
    pub(super) fn enter(&self, handler: &Name) {
        *self.0.lock().entry(handler.clone()).or_default() += 1;
    }

    /// Counts one holder less. The last one removes the series, before another can make them again.
    pub(super) fn leave(&self, handler: &Name, remove: impl FnOnce()) {
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
