//! A running host: its process and log, its HTTP endpoints, and what it uses of the machine.

mod memory_group;
mod metrics;
mod probes;
mod process;
mod traces;
mod usage;

pub use self::memory_group::MemoryGroup;
pub use self::metrics::ScrapedMetrics;
pub use self::probes::{LISTEN, ProbeAnswer, ProbeClient};
pub use self::process::{Operator, OperatorOptions, time_of};
pub use self::traces::{TraceCollector, attribute};
pub use self::usage::OperatorUsage;
