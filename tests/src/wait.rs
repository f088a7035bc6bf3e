//! Waiting for a condition instead of sleeping.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

const POLL: Duration = Duration::from_millis(25);

/// What one look at the world gave: the value waited for, or what was seen instead.
pub trait Seen {
    /// What is waited for.
    type Value;

    /// The value, or a text of what was seen instead.
    fn seen(self) -> Result<Self::Value, String>;
}

impl<T> Seen for Option<T> {
    type Value = T;

    fn seen(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Seen for Result<T, E> {
    type Value = T;

    fn seen(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Looks again and again until there is a value; panics after the deadline with what was seen last.
///
/// A look gives an `Option`, or better a `Result` whose error says what was seen instead.
pub async fn eventually<S: Seen>(
    what: &str,
    deadline: Duration,
    look: impl AsyncFnMut() -> S,
) -> S::Value {
    match within(deadline, look).await {
        Ok(value) => value,
        Err(last) => panic!("not within {deadline:?}: {what}; last seen: {last}"),
    }
}

/// As [`eventually`], for those who have more to say on failure: gives what was seen last.
pub async fn within<S: Seen>(
    deadline: Duration,
    mut look: impl AsyncFnMut() -> S,
) -> Result<S::Value, String> {
    let end = Instant::now() + deadline;
    let mut last = "nothing: the first look did not end".to_owned();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match timeout(left, look()).await.map(Seen::seen) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(instead)) => last = instead,
            Err(_) => return Err(last),
        }
        // A look that awaits nothing is never cut short, so the deadline is looked at here too.
        if Instant::now() >= end {
            return Err(last);
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(60);

    #[tokio::test]
    async fn a_look_that_awaits_nothing_ends_with_the_deadline() {
        let mut looks = 0;
        let seen = within(SHORT, async || {
            looks += 1;
            Err::<(), _>(format!("look {looks}"))
        })
        .await;
        assert_eq!(seen, Err(format!("look {looks}")));
    }

    #[tokio::test]
    async fn a_look_that_does_not_end_is_cut_short() {
        let seen = within(SHORT, async || std::future::pending::<Option<()>>().await).await;
        assert_eq!(seen, Err("nothing: the first look did not end".to_owned()));
    }

    #[tokio::test]
    async fn the_first_value_ends_the_wait() {
        let mut looks = 0;
        let look = async || {
            looks += 1;
            (looks == 2).then_some(looks)
        };
        assert_eq!(
            eventually("two looks", Duration::from_secs(10), look).await,
            2
        );
    }
}
