//! Waiting for a condition instead of sleeping.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long most tests wait. It is long, because many tests run side by side on few cores.
pub const DEADLINE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(25);

/// What one look gave: the value that a test waits for, or what was seen instead.
pub trait Observation {
    /// The value that a test waits for.
    type Value;

    /// The value, or a text that says what was seen instead.
    fn into_result(self) -> Result<Self::Value, String>;
}

impl<T> Observation for Option<T> {
    type Value = T;

    fn into_result(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Observation for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Looks again and again until a look gives a value. Panics after the deadline, with what was seen last.
///
/// A look returns an `Option`, or better a `Result` whose error says what was seen instead.
pub async fn eventually<S: Observation>(
    what: &str,
    deadline: Duration,
    look: impl AsyncFnMut() -> S,
) -> S::Value {
    match within(deadline, look).await {
        Ok(value) => value,
        Err(last) => panic!("not within {deadline:?}: {what}; last seen: {last}"),
    }
}

/// As [`eventually`], but returns what was seen last when the deadline has passed, so that the caller can say more.
pub async fn within<S: Observation>(
    deadline: Duration,
    mut look: impl AsyncFnMut() -> S,
) -> Result<S::Value, String> {
    let end = Instant::now() + deadline;
    let mut last = "nothing: the first look did not end".to_owned();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match timeout(left, look()).await.map(Observation::into_result) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(instead)) => last = instead,
            Err(_) => return Err(last),
        }
        // The timeout cannot end a look that awaits nothing, so the deadline is checked here too.
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
