use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// The longest that a watch waits after an error, so that a right that is granted is noticed within seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a watch waits before it is started again: as client-go does, but for five seconds at most.
#[derive(Default)]
pub(crate) struct WatchBackoff(DefaultBackoff);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // Watches that failed together do not start again together.
        let longest = LONGEST_WAIT.mul_f64(1.0 - fastrand::f64() / 4.0);
        self.0.next().map(|delay| delay.min(longest))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}
