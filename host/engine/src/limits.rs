use std::time::Duration;

/// How often the host checks the deadlines of running guests.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Handles that a guest may hold at a time, such as streams and sockets. They take memory of the host.
pub(crate) const HANDLES: usize = 1000;
/// Random bytes that a guest may ask for at once. The host generates them, and no deadline interrupts it there.
pub(crate) const RANDOM_BYTES: u64 = 64 << 10;
/// Elements of one table. Most of them are function pointers.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
