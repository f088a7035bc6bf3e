use std::time::{Duration, Instant};

use handler_host_core::ByteBudget;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use super::controller::HandlerWarning;

/// How long a wait goes on without a sign.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

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

    /// Takes the bytes of a write.
    pub(super) fn take(&self, bytes: usize) {
        self.state.lock().budget.take(bytes, Instant::now());
    }

    /// Waits until something may be written: until no more was written than is allowed. It may take long, so whoever waits
    /// shows that it does.
    pub(super) async fn wait(&self, show: impl Fn()) {
        loop {
            let wait = self.wait_now();
            if wait.is_zero() {
                return;
            }
            show();
            tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
        }
    }

    fn wait_now(&self) -> Duration {
        let mut state = self.state.lock();
        let wait = state.budget.take(0, Instant::now());
        if state.budget.has_recovered() {
            state.is_told = false;
        } else if !wait.is_zero() && !std::mem::replace(&mut state.is_told, true) {
            let message = "The handler has more than 2 MiB a second written for a long time, so its parents wait. \
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
