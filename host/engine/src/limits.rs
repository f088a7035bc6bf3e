use std::time::Duration;

/// How often running guests are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Handles that a guest may hold at a time: streams, clocks to wait for, sockets. They are kept in the host.
pub(crate) const HANDLES: usize = 1000;
/// Random bytes that a guest may ask for at once. They are drawn in the host, where no deadline reaches.
pub(crate) const RANDOM_BYTES: u64 = 64 << 10;
/// Elements of one table; function pointers, mostly.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Bytes of all memories together; 64 MiB by default.
    pub memory: usize,
    /// Wall-clock time; 1 s by default. A call is stopped at most 20 ms after it, if a processor is free
    /// to do so, and never before.
    pub deadline: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            deadline: Duration::from_secs(1),
        }
    }
}
