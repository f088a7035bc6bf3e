use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The metrics that Prometheus defines for every process, as far as /proc has their values.
#[derive(Debug)]
pub(super) struct Process {
    started: SystemTime,
}

/// The values of /proc at one moment.
struct ProcessUsage {
    cpu: Duration,
    resident: u64,
    virtual_: u64,
    open_files: usize,
}

impl Process {
    /// The metrics of this process. The time of this call counts as the start of the process.
    pub(super) fn started() -> Self {
        Self {
            started: SystemTime::now(),
        }
    }
}

impl ProcessUsage {
    fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses and may hold spaces; utime and stime are fields
        // 14 and 15.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(11);
        let ticks: u64 =
            fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        let millis = ticks * 1000 / rustix::param::clock_ticks_per_second();
        let memory = fs::read_to_string("/proc/self/statm").ok()?;
        let mut pages = memory.split(' ').map(|pages| pages.parse::<u64>().ok());
        let page = rustix::param::page_size() as u64;
        Some(Self {
            cpu: Duration::from_millis(millis),
            virtual_: pages.next()?? * page,
            resident: pages.next()?? * page,
            open_files: fs::read_dir("/proc/self/fd").ok()?.count(),
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut gauge = |name, help, value: f64| put(&mut to, name, help, &ConstGauge::new(value));
        gauge(
            "process_start_time_seconds",
            "When the process started, since 1970",
            started.as_secs_f64(),
        )?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        if let Some(limit) = limit.current {
            gauge("process_max_fds", "File descriptors at most", float(limit))?;
        }
        let Some(usage) = ProcessUsage::now() else {
            return Ok(());
        };
        gauge(
            "process_resident_memory_bytes",
            "Memory in use",
            float(usage.resident),
        )?;
        gauge(
            "process_virtual_memory_bytes",
            "Address space in use",
            float(usage.virtual_),
        )?;
        gauge(
            "process_open_fds",
            "Open file descriptors",
            float(usage.open_files as u64),
        )?;
        let cpu = ConstCounter::new(usage.cpu.as_secs_f64());
        let help = "CPU time, of user and system";
        put(&mut to, "process_cpu_seconds", help, &cpu)
    }
}

fn put(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), std::fmt::Error> {
    metric.encode(to.encode_descriptor(name, help, None, metric.metric_type())?)
}

#[allow(clippy::cast_precision_loss, reason = "numbers far below 2⁵³")]
fn float(number: u64) -> f64 {
    number as f64
}
