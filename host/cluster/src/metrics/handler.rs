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
    HandlerName, OfCall, OfCondition, OfController, OfHandler, OfModule, OfQueue, OfReconcile,
    OfSkip, OfSwap,
};
use super::outcomes::{CallOutcome, PassResult, SkipReason, SwapOutcome, Write, WriteOutcome};
use super::series::{Series, count, number, writes};

/// The metrics of one handler. Its series are looked up once, so that a pass only adds to counters.
pub struct HandlerMetrics {
    name: HandlerName,
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
    skipped_passes: Vec<(SkipReason, Counter)>,
    calls: Vec<(CallOutcome, Counter)>,
    call_duration: Histogram,
    call_peak_memory: Gauge,
    call_memory_limit: Gauge,
    memo_hits: Counter,
    swaps: Vec<(SwapOutcome, Counter)>,
    writes: Vec<((Write, WriteOutcome), Counter)>,
    parents: Gauge,
    failing_parents: Gauge,
    /// The times at which the work began that is under way.
    begun: Mutex<Vec<Instant>>,
    changing: Mutex<Changing>,
    series: Series,
}

/// The series whose labels change. A series is removed when its labels hold no more.
#[derive(Default)]
struct Changing {
    module: Option<OfModule>,
    conditions: Vec<OfCondition>,
}

/// Work on a parent that is under way. It ends when this is dropped.
pub(crate) struct Stopwatch<'a> {
    metrics: &'a HandlerMetrics,
    begun: Instant,
}

impl HandlerMetrics {
    pub(super) fn new(name: &str, families: Arc<Families>, holders: Arc<Holders>) -> Self {
        let name: HandlerName = name.into();
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
            skipped_passes: of.each(&families.skipped_passes, |reason| OfSkip {
                handler: name.clone(),
                reason,
            }),
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
            changing: Mutex::default(),
            series,
            name,
            families,
            holders,
        }
    }

    /// Sets the module that runs now; None if none runs.
    pub fn module_is(&self, digest: Option<Digest>, memory_limit: usize) {
        let family = &self.families.module_info;
        let mut changing = self.changing.lock();
        let module = digest.map(|digest| OfModule {
            handler: self.name.clone(),
            digest: digest.to_string(),
        });
        self.call_memory_limit.set(number(memory_limit));
        if changing.module == module {
            return;
        }
        self.call_peak_memory.set(0);
        if let Some(before) = std::mem::replace(&mut changing.module, module.clone()) {
            family.remove(&before);
        }
        if let Some(module) = module {
            family.get_or_create(&module).set(1);
        }
    }

    /// Sets the present reason of a condition of the Handler, and whether the condition is `True`.
    pub fn condition_is(&self, condition: &HandlerCondition) {
        let (r#type, reason) = (condition.type_.as_str(), condition.reason.as_str());
        let family = &self.families.condition;
        let mut changing = self.changing.lock();
        let labels = OfCondition {
            handler: self.name.clone(),
            r#type,
            reason,
        };
        changing.conditions.retain(|before| {
            let stays = before.r#type != r#type || before.reason == reason;
            if !stays {
                family.remove(before);
            }
            stays
        });
        family
            .get_or_create(&labels)
            .set(condition.is_true().into());
        if !changing.conditions.contains(&labels) {
            changing.conditions.push(labels);
        }
    }

    /// Counts what became of a module that was to take over.
    pub fn swapped(&self, outcome: SwapOutcome) {
        count(&self.swaps, outcome);
    }

    /// Sets how many parents there are, and how many of them fail.
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

    /// A worker took a parent that was due for this time; None if it was not due, but a report or a revisit.
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

    /// Counts a reconcile that made no pass.
    pub(crate) fn skipped(&self, reason: SkipReason) {
        count(&self.skipped_passes, reason);
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
    /// Counts the result of the work.
    pub(crate) fn finish(&self, result: PassResult) {
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
            let changing = std::mem::take(&mut *self.changing.lock());
            if let Some(module) = changing.module {
                self.families.module_info.remove(&module);
            }
            for condition in changing.conditions {
                self.families.condition.remove(&condition);
            }
            self.series.remove();
        });
    }
}
