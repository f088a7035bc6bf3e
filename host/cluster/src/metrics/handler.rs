use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use handler_host_core::{Digest, Effort, HandlerCondition};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::families::{Families, Seconds};
use super::holders::Holders;
use super::labels::{
    Name, OfCall, OfCondition, OfController, OfHandler, OfModule, OfQueue, OfReconcile, OfSwap,
};
use super::outcomes::{CallOutcome, PassResult, SwapOutcome, Write, WriteOutcome};
use super::series::{Series, count, number, writes};

/// The metrics of one handler, found once, so that a pass pays for an addition and no more.
pub struct HandlerMetrics {
    name: Name,
    families: Arc<Families>,
    holders: Arc<Holders>,
    results: Vec<(PassResult, Counter)>,
    reconcile_errors: Counter,
    reconcile_time: Histogram,
    max_concurrent_reconciles: Gauge,
    active_workers: Gauge,
    depth: Gauge,
    adds: Counter,
    retries: Counter,
    queue_duration: Histogram,
    work_duration: Histogram,
    unfinished_work: Seconds,
    longest_running_processor: Seconds,
    calls: Vec<(CallOutcome, Counter)>,
    call_duration: Histogram,
    call_peak_memory: Gauge,
    call_memory_limit: Gauge,
    memo_hits: Counter,
    swaps: Vec<(SwapOutcome, Counter)>,
    writes: Vec<((Write, WriteOutcome), Counter)>,
    parents: Gauge,
    failing_parents: Gauge,
    /// When the work began that is under way.
    begun: Mutex<Vec<Instant>>,
    told: Mutex<Told>,
    series: Series,
}

/// The series whose labels change; those of before go.
#[derive(Default)]
struct Told {
    module: Option<OfModule>,
    conditions: Vec<OfCondition>,
}

/// WorkQueue under way; it ends when this is dropped.
pub(crate) struct Stopwatch<'a> {
    metrics: &'a HandlerMetrics,
    begun: Instant,
}

impl HandlerMetrics {
    pub(super) fn new(name: &str, families: Arc<Families>, holders: Arc<Holders>) -> Self {
        let name: Name = name.into();
        holders.enter(&name);
        let mut series = Series::default();
        let handler = || OfHandler {
            handler: name.clone(),
        };
        let controller = || OfController {
            controller: name.clone(),
        };
        let queue = || OfQueue {
            name: name.clone(),
            controller: name.clone(),
        };
        let of = &mut series;
        Self {
            results: of.each(&families.reconcile, |result| OfReconcile {
                controller: name.clone(),
                result,
            }),
            reconcile_errors: of.of(&families.reconcile_errors, controller()),
            reconcile_time: of.of(&families.reconcile_time, controller()),
            max_concurrent_reconciles: of.of(&families.max_concurrent_reconciles, controller()),
            active_workers: of.of(&families.active_workers, controller()),
            depth: of.of(&families.depth, queue()),
            adds: of.of(&families.adds, queue()),
            retries: of.of(&families.retries, queue()),
            queue_duration: of.of(&families.queue_duration, queue()),
            work_duration: of.of(&families.work_duration, queue()),
            unfinished_work: of.of(&families.unfinished_work, queue()),
            longest_running_processor: of.of(&families.longest_running_processor, queue()),
            calls: of.each(&families.calls, |outcome| OfCall {
                handler: name.clone(),
                outcome,
            }),
            call_duration: of.of(&families.call_duration, handler()),
            call_peak_memory: of.of(&families.call_peak_memory, handler()),
            call_memory_limit: of.of(&families.call_memory_limit, handler()),
            memo_hits: of.of(&families.memo_hits, handler()),
            swaps: of.each(&families.swaps, |outcome| OfSwap {
                handler: name.clone(),
                outcome,
            }),
            writes: writes(of, &families.writes, &name),
            parents: of.of(&families.parents, handler()),
            failing_parents: of.of(&families.failing_parents, handler()),
            begun: Mutex::default(),
            told: Mutex::default(),
            series,
            name,
            families,
            holders,
        }
    }

    /// This is the module that runs now; None if none does.
    pub fn module_is(&self, digest: Option<Digest>, memory_limit: usize) {
        let family = &self.families.module_info;
        let mut told = self.told.lock();
        let module = digest.map(|digest| OfModule {
            handler: self.name.clone(),
            digest: digest.to_string(),
        });
        self.call_memory_limit.set(number(memory_limit));
        if told.module == module {
            return;
        }
        self.call_peak_memory.set(0);
        if let Some(before) = std::mem::replace(&mut told.module, module.clone()) {
            family.remove(&before);
        }
        if let Some(module) = module {
            family.get_or_create(&module).set(1);
        }
    }

    /// A condition of the Handler is this now.
    pub fn condition_is(&self, condition: &HandlerCondition) {
        let (r#type, reason) = (condition.type_.as_str(), condition.reason.as_str());
        let family = &self.families.condition;
        let mut told = self.told.lock();
        let labels = OfCondition {
            handler: self.name.clone(),
            r#type,
            reason,
        };
        told.conditions.retain(|before| {
            let stays = before.r#type != r#type || before.reason == reason;
            if !stays {
                family.remove(before);
            }
            stays
        });
        family.get_or_create(&labels).set(condition.is_true().into());
        if !told.conditions.contains(&labels) {
            told.conditions.push(labels);
        }
    }

    /// A module was to take over.
    pub fn swapped(&self, outcome: SwapOutcome) {
        count(&self.swaps, outcome);
    }

    /// How its parents stand.
    pub fn parents_are(&self, parents: usize, failing: usize) {
        self.parents.set(number(parents));
        self.failing_parents.set(number(failing));
    }

    pub(crate) fn workers_are(&self, count: usize) {
        self.max_concurrent_reconciles.set(number(count));
    }

    pub(crate) fn queue_is(&self, depth: usize, added: u64) {
        self.depth.set(number(depth));
        self.adds.inc_by(added);
    }

    /// Somebody began to work on a parent that was due for so long.
    pub(crate) fn taken(&self, waited: Option<Duration>) {
        if let Some(waited) = waited {
            self.queue_duration.observe(waited.as_secs_f64());
        }
    }

    pub(crate) fn begin(&self) -> Stopwatch<'_> {
        let begun = Instant::now();
        self.active_workers.inc();
        self.begun.lock().push(begun);
        Stopwatch {
            metrics: self,
            begun,
        }
    }

    pub(crate) fn put_off(&self) {
        self.retries.inc();
    }

    pub(crate) fn called(&self, outcome: CallOutcome, effort: Effort) {
        count(&self.calls, outcome);
        match effort {
            Effort::Ran { took, memory } => {
                self.call_duration.observe(took.as_secs_f64());
                let peak = self.call_peak_memory.inner();
                peak.fetch_max(number(memory), Ordering::Relaxed);
            }
            Effort::Remembered => {
                self.memo_hits.inc();
            }
            Effort::Nothing => {}
        }
    }

    pub(crate) fn wrote(&self, write: Write, outcome: WriteOutcome) {
        count(&self.writes, (write, outcome));
    }

    pub(super) fn refresh(&self) {
        let now = Instant::now();
        let begun = self.begun.lock();
        let times = begun.iter().map(|at| now.duration_since(*at).as_secs_f64());
        let (sum, longest) = times.fold((0.0, 0.0_f64), |(sum, longest), time| {
            (sum + time, longest.max(time))
        });
        self.unfinished_work.set(sum);
        self.longest_running_processor.set(longest);
    }
}

impl Stopwatch<'_> {
    /// Counts what the work on a parent came to.
    pub(crate) fn came_to(&self, result: PassResult) {
        let metrics = self.metrics;
        count(&metrics.results, result);
        if result == PassResult::Error {
            metrics.reconcile_errors.inc();
        }
        let took = self.begun.elapsed().as_secs_f64();
        metrics.reconcile_time.observe(took);
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        let metrics = self.metrics;
        metrics.active_workers.dec();
        let mut begun = metrics.begun.lock();
        if let Some(index) = begun.iter().position(|at| *at == self.begun) {
            begun.swap_remove(index);
        }
        drop(begun);
        let took = self.begun.elapsed().as_secs_f64();
        metrics.work_duration.observe(took);
    }
}

impl Drop for HandlerMetrics {
    fn drop(&mut self) {
        self.holders.leave(&self.name, || {
            let told = std::mem::take(&mut *self.told.lock());
            if let Some(module) = told.module {
                self.families.module_info.remove(&module);
            }
            for condition in told.conditions {
                self.families.condition.remove(&condition);
            }
            self.series.remove();
        });
    }
}
