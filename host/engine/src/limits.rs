use std::time::Duration;

/// How often the host checks the deadlines of running guests.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Handles that a guest may hold at a time, such as streams and sockets. They take memory of the host.
pub(crate) const HANDLES: usize = 1000;
/// Random bytes that a guest may ask for at once. The host generates them, and no deadline interrupts it there.
pub(crate) const RANDOM_BYTES: u64 = 64 << 10;
/// Elements of one table. Most of them are function pointers.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// Core modules that a call may instantiate. A Rust component has about 5: the program and its adapters. Those of
/// componentize-py have 38 to 41, since each Python extension is a module of its own.
pub(crate) const CORE_INSTANCES: u32 = 64;
/// Memories that a call may have; a component has one for the program, and some adapters have their own.
pub(crate) const MEMORIES: u32 = 4;
/// Tables that a call may have, and one core module.
pub(crate) const TABLES: u32 = 16;
pub(crate) const MODULE_TABLES: u32 = 4;
