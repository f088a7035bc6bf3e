//! What a process uses of the machine, read from /proc.

use std::fs;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;

/// What an operator has used so far.
#[derive(Clone, Copy, Debug)]
pub struct OperatorUsage {
    /// The CPU time in user and kernel mode.
    pub cpu: Duration,
    /// The present resident memory in bytes.
    pub resident: u64,
    /// The largest resident memory so far, in bytes.
    pub peak_resident: u64,
}

/// The usage of a process, or `None` when the process is gone.
pub(super) fn read_usage(pid: u32) -> Option<OperatorUsage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name of the program in parentheses, which may contain spaces. The fields 14 and 15
    // are utime and stime.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let bytes = |field: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some(OperatorUsage {
        cpu: Duration::from_secs(1) * u32::try_from(ticks).ok()?
            / u32::try_from(clock_ticks_per_second()).ok()?,
        resident: bytes("VmRSS:")?,
        peak_resident: bytes("VmHWM:")?,
    })
}
