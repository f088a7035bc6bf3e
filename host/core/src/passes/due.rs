use std::time::Instant;

use crate::TokenBucket;

/// Whether a pass over a parent is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassDue {
    /// It is.
    Now,
    /// Nothing changed since the last pass.
    Unchanged,
    /// Something changed, but the parent has used up its passes for now.
    RateLimited {
        /// When the next pass may begin.
        until: Instant,
    },
}

impl PassDue {
    /// Decides whether a pass is due, and takes a token for it if so. A parent that is unchanged costs none.
    pub fn of(is_unchanged: bool, tokens: &mut TokenBucket, now: Instant) -> Self {
        if is_unchanged {
            return Self::Unchanged;
        }
        match tokens.take(now) {
            Ok(()) => Self::Now,
            Err(until) => Self::RateLimited { until },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_unchanged_parent_costs_no_token_and_a_changed_one_has_twenty() {
        let (mut tokens, now) = (TokenBucket::default(), Instant::now());
        for _ in 0..30 {
            assert_eq!(PassDue::of(true, &mut tokens, now), PassDue::Unchanged);
        }
        for _ in 0..20 {
            assert_eq!(PassDue::of(false, &mut tokens, now), PassDue::Now);
        }
        let until = now + Duration::from_secs(1);
        let limited = PassDue::RateLimited { until };
        assert_eq!(PassDue::of(false, &mut tokens, now), limited);
        assert_eq!(PassDue::of(true, &mut tokens, now), PassDue::Unchanged);
        assert_eq!(PassDue::of(false, &mut tokens, until), PassDue::Now);
    }
}
