use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// The longest that a watch waits after an error: a right that was granted is to be noticed within seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a watch waits before it is tried again.
#[derive(Default)]
pub(crate) struct WatchBackoff(DefaultBackoff);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // Not all watches at once.
        let longest = LONGEST_WAIT.mul_f64(1.0 - fastrand::f64() / 4.0);
        self.0.next().map(|delay| delay.min(longest))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}
