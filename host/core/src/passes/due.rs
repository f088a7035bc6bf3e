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
    /// Decides whether a pass is due, and takes a token for it if so. A parent that is unchanged costs none, and one that
    /// is unstable waits until it `resumes`.
    pub fn of(
        is_unchanged: bool,
        resumes: Option<Instant>,
        tokens: &mut TokenBucket,
        now: Instant,
    ) -> Self {
        if is_unchanged {
            return Self::Unchanged;
        }
        if let Some(until) = resumes.filter(|until| now < *until) {
            return Self::RateLimited { until };
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
            assert_eq!(
                PassDue::of(true, None, &mut tokens, now),
                PassDue::Unchanged
            );
        }
        for _ in 0..20 {
            assert_eq!(PassDue::of(false, None, &mut tokens, now), PassDue::Now);
        }
        let until = now + Duration::from_secs(1);
        let limited = PassDue::RateLimited { until };
        assert_eq!(PassDue::of(false, None, &mut tokens, now), limited);
        assert_eq!(
            PassDue::of(true, None, &mut tokens, now),
            PassDue::Unchanged
        );
        assert_eq!(PassDue::of(false, None, &mut tokens, until), PassDue::Now);
    }

    #[test]
    fn an_unstable_parent_waits_and_costs_no_token() {
        let (mut tokens, now) = (TokenBucket::default(), Instant::now());
        let until = now + Duration::from_secs(5);
        for _ in 0..30 {
            let due = PassDue::of(false, Some(until), &mut tokens, now);
            assert_eq!(due, PassDue::RateLimited { until });
        }
        assert_eq!(
            PassDue::of(false, Some(until), &mut tokens, until),
            PassDue::Now
        );
    }
}
