use std::time::SystemTime;

use handler_host_core::Timestamp;

/// The time of day.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
