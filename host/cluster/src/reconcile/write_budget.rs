use std::time::{Duration, Instant};

use handler_host_core::ByteBudget;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use super::controller::HandlerWarning;

/// The bytes that a handler may have written. Who writes more waits, and the handler's administrator is told.
pub(crate) struct WriteBudget {
    state: Mutex<State>,
    warnings: UnboundedSender<HandlerWarning>,
}

#[derive(Default)]
struct State {
    budget: ByteBudget,
    is_told: bool,
}

impl WriteBudget {
    pub(super) fn new(warnings: UnboundedSender<HandlerWarning>) -> Self {
        Self {
            state: Mutex::default(),
            warnings,
        }
    }

    /// Waits until so many bytes may be written.
    pub(super) async fn take(&self, bytes: usize) {
        let wait = self.take_now(bytes);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn take_now(&self, bytes: usize) -> Duration {
        let mut state = self.state.lock();
        let wait = state.budget.take(bytes, Instant::now());
        if state.budget.has_recovered() {
            state.is_told = false;
        } else if !wait.is_zero() && !std::mem::replace(&mut state.is_told, true) {
            let message = "The handler has more than 2 MiB a second written for a long time, so its writes wait. \
                 Return smaller children, or have them change less often"
                .to_owned();
            // The receiver is gone only when the whole controller is being dropped.
            let _ = self.warnings.send(HandlerWarning {
                reason: "WritesLimited",
                message,
            });
        }
        wait
    }
}
