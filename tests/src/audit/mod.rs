//! The API server's audit log: every request, as the API server itself counts it.

mod entries;
mod event;
mod log;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

pub use self::entries::{AuditEntries, AuditEntry};
pub use self::log::{AuditLog, Mark};

/// The time between two moments as the audit log writes them; zero when the second is not the later one.
pub fn between(from: &str, to: &str) -> Duration {
    let at = |text: &str| {
        text.parse::<Timestamp>()
            .unwrap_or_else(|error| panic!("{text} is no timestamp of the audit log: {error}"))
    };
    Duration::try_from(at(to).duration_since(at(from))).unwrap_or_default()
}
