use std::time::Duration;

/// Exponential backoff with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Default for Backoff {
    /// From 1 s, doubled at each failure in a row, up to 5 min.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_secs(300),
        }
    }
}

impl Backoff {
    /// The delay before the next attempt, after so many failures in a row (1 for the first). `jitter`, a random number of
    /// 0 to 1, takes away up to a quarter, so that work that failed together is not tried again together.
    #[must_use]
    pub fn delay(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = self.first.saturating_mul(1 << doublings).min(self.max);
        full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1, 0.0, 1000)]
    #[case(2, 0.0, 2000)]
    #[case(9, 0.0, 256_000)]
    #[case(10, 0.0, 300_000)]
    #[case(u32::MAX, 0.0, 300_000)]
    #[case(1, 1.0, 750)]
    #[case(1, 0.5, 875)]
    fn the_delay_doubles_up_to_a_limit_less_jitter(
        #[case] failures: u32,
        #[case] jitter: f64,
        #[case] millis: u64,
    ) {
        let delay = Backoff::default().delay(failures, jitter);
        assert_eq!(delay, Duration::from_millis(millis));
    }
}
