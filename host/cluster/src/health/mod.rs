//! Whether the parts of the host are alive.

mod liveness;

pub use self::liveness::{Heartbeat, HeartbeatOf, Liveness, Stalled, WatchCounts};
