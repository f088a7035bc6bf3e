use std::time::{Duration, Instant};

/// Limits the bytes that a handler writes: 32 MiB at once, then 2 MiB a second.
///
/// etcd keeps each version of an object until it is compacted, after five minutes in most clusters. A handler that
/// rewrites its children without end would fill it.
///
/// Time is passed in, so that tests need no clock.
#[derive(Clone, Copy, Debug)]
pub struct ByteBudget {
    /// Bytes that may be written now. It is negative while what was written is more than was allowed so far.
    left: i64,
    since: Option<Instant>,
}

const AT_ONCE: i64 = 32 << 20;
const A_SECOND: i64 = 2 << 20;

impl Default for ByteBudget {
    fn default() -> Self {
        Self {
            left: AT_ONCE,
            since: None,
        }
    }
}

impl ByteBudget {
    /// Takes the bytes of a write. Gives how long the write has to wait, which is no time while the budget lasts.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        let since = self.since.replace(now).unwrap_or(now);
        let millis = now.saturating_duration_since(since).as_millis();
        let earned = i64::try_from(millis).unwrap_or(i64::MAX);
        let earned = earned.saturating_mul(A_SECOND) / 1000;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(earned).min(AT_ONCE);
        self.left = self.left.saturating_sub(bytes);
        let debt = u64::try_from(self.left.saturating_neg()).unwrap_or(0);
        Duration::from_millis(debt.saturating_mul(1000) / A_SECOND.unsigned_abs())
    }

    /// Whether so little was written lately that at least half of the budget is there again.
    #[must_use]
    pub fn has_recovered(&self) -> bool {
        self.left >= AT_ONCE / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_two_mebibytes_are_free_and_then_two_a_second() {
        let (mut budget, start) = (ByteBudget::default(), Instant::now());
        assert!((0..32).all(|_| budget.take(1 << 20, start).is_zero()));
        assert_eq!(budget.take(1 << 20, start), Duration::from_millis(500));
        assert_eq!(budget.take(1 << 20, start), Duration::from_secs(1));
        let later = start + Duration::from_secs(2);
        assert_eq!(budget.take(1 << 20, later), Duration::ZERO);
        assert_eq!(budget.take(3 << 20, later), Duration::from_secs(1));
    }

    #[test]
    fn what_is_not_used_comes_back_up_to_the_whole() {
        let (mut budget, start) = (ByteBudget::default(), Instant::now());
        budget.take(40 << 20, start);
        assert!(!budget.has_recovered());
        let later = start + Duration::from_secs(3600);
        assert_eq!(budget.take(32 << 20, later), Duration::ZERO);
        assert_eq!(budget.take(1 << 20, later), Duration::from_millis(500));
    }
}
