use std::time::Duration;

/// How often running guests are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Handles that a guest may hold at a time: streams, clocks to wait for, sockets. They are kept in the host.
pub(crate) const HANDLES: usize = 1000;
/// Random bytes that a guest may ask for at once. They are drawn in the host, where no deadline reaches.
pub(crate) const RANDOM_BYTES: u64 = 64 << 10;
/// Elements of one table; function pointers, mostly.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
