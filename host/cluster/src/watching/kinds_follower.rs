use std::sync::Arc;
use std::time::Duration;

use handler_host_core::Kind;
use kube::Client;
use tokio::sync::{Notify, watch};

use crate::api::{ApiError, ServedKind, find};

/// How often the kinds are looked at though nothing hints at a change.
const SELDOM: Duration = Duration::from_secs(300);
/// How often they are looked at while one is missing.
const WHILE_MISSING: Duration = Duration::from_secs(5);
/// How often they are looked at after a hint: after 1 s, and after twice the time before each time. What the API server
/// says of its kinds follows a change of a CustomResourceDefinition after some seconds.
const AFTER_HINT: u32 = 6;

/// Notices that kinds are no longer served as they were found: they came, went, or changed scope or subresources.
#[derive(Default)]
pub(crate) struct KindsFollower {
    hints: Notify,
    has_changed: watch::Sender<bool>,
}

/// When the kinds are looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Schedule {
    is_missing: bool,
    /// How many looks are left after a hint.
    left: u32,
}

impl Schedule {
    fn hinted(&mut self) {
        self.left = AFTER_HINT;
    }

    fn looked(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    fn delay(self) -> Duration {
        let usual = if self.is_missing {
            WHILE_MISSING
        } else {
            SELDOM
        };
        match self.left {
            0 => usual,
            left => Duration::from_secs(1 << (AFTER_HINT - left)).min(usual),
        }
    }
}

impl KindsFollower {
    /// Something failed as it would if a kind were served otherwise.
    pub(crate) fn hint(&self) {
        self.hints.notify_one();
    }

    /// Waits until a kind is served otherwise than it was found.
    pub(crate) async fn changed(&self) {
        // The sender lives as long as this.
        let _ = self.has_changed.subscribe().wait_for(|it| *it).await;
    }

    /// Looks at the kinds for ever. `found` says how each was served; None if it was not.
    pub(crate) async fn run(
        self: Arc<Self>,
        client: Client,
        found: Vec<(Kind, Option<ServedKind>)>,
    ) {
        let mut schedule = Schedule {
            is_missing: found.iter().any(|(_, served)| served.is_none()),
            left: 0,
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep(schedule.delay()) => {}
                () = self.hints.notified(), if schedule.left == 0 => {
                    schedule.hinted();
                    continue;
                }
            }
            schedule.looked();
            if has_changed(&client, &found).await {
                self.has_changed.send_replace(true);
                // Whoever is told looks for the kinds anew, and begins another follower.
                return std::future::pending().await;
            }
        }
    }
}

async fn has_changed(client: &Client, found: &[(Kind, Option<ServedKind>)]) -> bool {
    for (kind, before) in found {
        let now = match find(client, kind).await {
            Ok(now) => now,
            // Without an answer nothing is known, and neither if the answer is refused.
            Err(
                ApiError::Rejected(_)
                | ApiError::Terminating(_)
                | ApiError::NotFound(_)
                | ApiError::Conflict
                | ApiError::Failed(_)
                | ApiError::Unavailable(..),
            ) => return false,
        };
        if now != *before {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_looked_at_soon_after_a_hint_and_seldom_otherwise() {
        let mut schedule = Schedule {
            is_missing: false,
            left: 0,
        };
        assert_eq!(schedule.delay(), SELDOM);
        schedule.hinted();
        let mut seconds = Vec::new();
        while schedule.left > 0 {
            seconds.push(schedule.delay().as_secs());
            schedule.looked();
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32]);
        assert_eq!(schedule.delay(), SELDOM);
        schedule.is_missing = true;
        assert_eq!(schedule.delay(), WHILE_MISSING);
    }
}
