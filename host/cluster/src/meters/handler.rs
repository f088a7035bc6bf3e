use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handler_host_core::{Digest, Effort};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::families::Seconds;
use super::labels::{
    Name, OfCall, OfCondition, OfController, OfHandler, OfModule, OfQueue, OfReconcile, OfSwap,
};
use super::series::{Series, count, writes};
use super::{CallOutcome, Looked, Meters, SwapOutcome, Write, WriteOutcome, number};
use crate::refusal::Refusal;

/// The meters of one handler, found once, so that a pass pays for an addition and no more.
pub struct HandlerMeters {
    name: Name,
    meters: Meters,
    looked: Vec<(Looked, Counter)>,
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

/// Work under way; it ends when this is dropped.
pub(crate) struct Stopwatch<'a> {
    meters: &'a HandlerMeters,
    begun: Instant,
}

impl HandlerMeters {
    pub(super) fn new(name: &str, meters: &Meters) -> Self {
        let families = &meters.0.families;
        let name: Name = name.into();
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
            meters: meters.clone(),
            looked: of.each(&families.reconcile, |result| OfReconcile {
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
        }
    }

    /// This is the module that runs now; None if none does.
    pub fn module_is(&self, digest: Option<Digest>, memory_limit: usize) {
        let family = &self.meters.0.families.module_info;
        let mut told = self.told();
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
    pub fn condition_is(&self, r#type: &'static str, reason: &'static str, is_true: bool) {
        let family = &self.meters.0.families.condition;
        let mut told = self.told();
        let condition = OfCondition {
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
        family.get_or_create(&condition).set(is_true.into());
        if !told.conditions.contains(&condition) {
            told.conditions.push(condition);
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
        self.begun().push(begun);
        Stopwatch {
            meters: self,
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

    pub(crate) fn wrote<T>(&self, write: Write, written: &Result<T, Refusal>) {
        count(&self.writes, (write, WriteOutcome::of(written)));
    }

    pub(super) fn refresh(&self) {
        let now = Instant::now();
        let begun = self.begun();
        let times = begun.iter().map(|at| now.duration_since(*at).as_secs_f64());
        let (sum, longest) = times.fold((0.0, 0.0_f64), |(sum, longest), time| {
            (sum + time, longest.max(time))
        });
        self.unfinished_work.set(sum);
        self.longest_running_processor.set(longest);
    }

    fn begun(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stopwatch<'_> {
    /// What the look at a parent came to.
    pub(crate) fn looked(&self, looked: Looked) {
        let meters = self.meters;
        count(&meters.looked, looked);
        if looked == Looked::Error {
            meters.reconcile_errors.inc();
        }
        let took = self.begun.elapsed().as_secs_f64();
        meters.reconcile_time.observe(took);
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        let meters = self.meters;
        meters.active_workers.dec();
        let mut begun = meters.begun();
        if let Some(index) = begun.iter().position(|at| *at == self.begun) {
            begun.swap_remove(index);
        }
        drop(begun);
        let took = self.begun.elapsed().as_secs_f64();
        meters.work_duration.observe(took);
    }
}

impl Drop for HandlerMeters {
    fn drop(&mut self) {
        let handlers = self.meters.handlers();
        // One of the same name may have been made meanwhile; then they are its series.
        if handlers
            .get(&*self.name)
            .is_some_and(|it| it.strong_count() > 0)
        {
            return;
        }
        let families = &self.meters.0.families;
        let told = std::mem::take(&mut *self.told());
        if let Some(module) = told.module {
            families.module_info.remove(&module);
        }
        for condition in told.conditions {
            families.condition.remove(&condition);
        }
        self.series.remove();
        drop(handlers);
    }
}
