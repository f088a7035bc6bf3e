use std::time::Duration;

/// How often running guests are looked at; a deadline is kept within one tick.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Bytes of all memories together; 64 MiB by default.
    pub memory: usize,
    /// Wall-clock time; 1 s by default. Kept within 10 ms.
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
