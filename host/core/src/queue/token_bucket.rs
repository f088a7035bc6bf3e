use std::time::{Duration, Instant};

/// Limits the passes over one parent: a burst of twenty passes, then one a second.
///
/// Two controllers that set one field to different values answer each other's writes as fast as the API server allows.
/// Neither knows of the other, but no parent needs more passes than this.
///
/// Time is passed in, so that tests need no clock.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    left: u32,
    since: Option<Instant>,
}

const AT_ONCE: u32 = 20;
const EVERY: Duration = Duration::from_secs(1);

impl Default for TokenBucket {
    fn default() -> Self {
        Self {
            left: AT_ONCE,
            since: None,
        }
    }
}

impl TokenBucket {
    /// Takes a token, of which there is one for each pass.
    ///
    /// # Errors
    ///
    /// The moment of the next token, if there is none now.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let since = *self.since.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        let earned = u32::try_from(elapsed.as_secs() / EVERY.as_secs()).unwrap_or(u32::MAX);
        if self.left.saturating_add(earned) >= AT_ONCE {
            *self = Self {
                left: AT_ONCE,
                since: Some(now),
            };
        } else {
            self.left += earned;
            self.since = Some(since + EVERY * earned);
        }
        if self.left == 0 {
            return Err(self.since.unwrap_or(now) + EVERY);
        }
        self.left -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_twenty_tokens_at_once_and_then_one_a_second() {
        let (mut tokens, start) = (TokenBucket::default(), Instant::now());
        assert!((0..20).all(|_| tokens.take(start).is_ok()));
        assert_eq!(tokens.take(start), Err(start + EVERY));
        assert_eq!(tokens.take(start + EVERY / 2), Err(start + EVERY));
        assert_eq!(tokens.take(start + EVERY), Ok(()));
        assert_eq!(tokens.take(start + EVERY), Err(start + EVERY * 2));
    }

    #[test]
    fn tokens_come_back_with_time_up_to_twenty() {
        let (mut tokens, start) = (TokenBucket::default(), Instant::now());
        assert!((0..20).all(|_| tokens.take(start).is_ok()));
        let later = start + Duration::from_secs(3600);
        assert!((0..20).all(|_| tokens.take(later).is_ok()));
        assert!(tokens.take(later).is_err());
    }
}
