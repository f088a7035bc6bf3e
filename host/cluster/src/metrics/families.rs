use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use super::labels::{
    OfBuild, OfCall, OfCondition, OfController, OfHandler, OfLease, OfModule, OfQueue, OfReconcile,
    OfRequest, OfSkip, OfSwap, OfWatches, OfWrite,
};

/// A gauge of seconds.
pub(super) type Seconds = Gauge<f64, AtomicU64>;
pub(super) type Histograms<S> = Family<S, Histogram, fn() -> Histogram>;

/// All metrics. Each is a family of series, one for each set of labels.
pub(super) struct Families {
    pub(super) reconcile: Family<OfReconcile, Counter>,
    pub(super) reconcile_errors: Family<OfController, Counter>,
    pub(super) reconcile_time: Histograms<OfController>,
    pub(super) max_concurrent_reconciles: Family<OfController, Gauge>,
    pub(super) active_workers: Family<OfController, Gauge>,
    pub(super) depth: Family<OfQueue, Gauge>,
    pub(super) adds: Family<OfQueue, Counter>,
    pub(super) retries: Family<OfQueue, Counter>,
    pub(super) queue_duration: Histograms<OfQueue>,
    pub(super) work_duration: Histograms<OfQueue>,
    pub(super) unfinished_work: Family<OfQueue, Seconds>,
    pub(super) longest_running_processor: Family<OfQueue, Seconds>,
    pub(super) rest_client_requests: Family<OfRequest, Counter>,
    pub(super) leader_election_master_status: Family<OfLease, Gauge>,
    pub(super) skipped_passes: Family<OfSkip, Counter>,
    pub(super) calls: Family<OfCall, Counter>,
    pub(super) call_duration: Histograms<OfHandler>,
    pub(super) call_peak_memory: Family<OfHandler, Gauge>,
    pub(super) call_memory_limit: Family<OfHandler, Gauge>,
    pub(super) memo_hits: Family<OfHandler, Counter>,
    pub(super) swaps: Family<OfSwap, Counter>,
    pub(super) writes: Family<OfWrite, Counter>,
    pub(super) parents: Family<OfHandler, Gauge>,
    pub(super) failing_parents: Family<OfHandler, Gauge>,
    pub(super) module_info: Family<OfModule, Gauge>,
    pub(super) condition: Family<OfCondition, Gauge>,
    pub(super) handlers: Gauge,
    pub(super) watches: Family<OfWatches, Gauge>,
    pub(super) build_info: Family<OfBuild, Gauge>,
}

impl Default for Families {
    fn default() -> Self {
        Self {
            reconcile: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_time: Family::new_with_constructor(reconcile_times),
            max_concurrent_reconciles: Family::default(),
            active_workers: Family::default(),
            depth: Family::default(),
            adds: Family::default(),
            retries: Family::default(),
            queue_duration: Family::new_with_constructor(queue_times),
            work_duration: Family::new_with_constructor(queue_times),
            unfinished_work: Family::default(),
            longest_running_processor: Family::default(),
            rest_client_requests: Family::default(),
            leader_election_master_status: Family::default(),
            skipped_passes: Family::default(),
            calls: Family::default(),
            call_duration: Family::new_with_constructor(call_times),
            call_peak_memory: Family::default(),
            call_memory_limit: Family::default(),
            memo_hits: Family::default(),
            swaps: Family::default(),
            writes: Family::default(),
            parents: Family::default(),
            failing_parents: Family::default(),
            module_info: Family::default(),
            condition: Family::default(),
            handlers: Gauge::default(),
            watches: Family::default(),
            build_info: Family::default(),
        }
    }
}

/// The buckets of controller-runtime.
fn reconcile_times() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8,
        0.9, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0,
        15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0,
    ])
}

/// The buckets of controller-runtime: from 10 ns, each ten times the one before.
fn queue_times() -> Histogram {
    Histogram::new(exponential_buckets(1e-8, 10.0, 12))
}

/// The buckets of a call, which takes from tens of microseconds up to a minute.
fn call_times() -> Histogram {
    Histogram::new([
        0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05,
        0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
    ])
}

impl Families {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.register_controller(registry.sub_registry_with_prefix("controller_runtime"));
        self.register_queue(registry.sub_registry_with_prefix("workqueue"));
        add(
            registry,
            "rest_client_requests",
            "Requests to the API server, by the code of the answer and the method",
            &self.rest_client_requests,
        );
        add(
            registry,
            "leader_election_master_status",
            "Whether this host holds the lease",
            &self.leader_election_master_status,
        );
        let own = registry.sub_registry_with_prefix("handler_host");
        self.register_calls(own);
        self.register_handlers(own);
    }

    fn register_controller(&self, to: &mut Registry) {
        add(
            to,
            "reconcile",
            "Reconciles of parents, by result",
            &self.reconcile,
        );
        add(
            to,
            "reconcile_errors",
            "Reconciles of parents that failed and are tried again with backoff",
            &self.reconcile_errors,
        );
        add(
            to,
            "reconcile_time_seconds",
            "Time that a reconcile of a parent took",
            &self.reconcile_time,
        );
        add(
            to,
            "max_concurrent_reconciles",
            "Parents worked on at a time at most",
            &self.max_concurrent_reconciles,
        );
        add(
            to,
            "active_workers",
            "Parents worked on now",
            &self.active_workers,
        );
    }

    fn register_queue(&self, to: &mut Registry) {
        add(to, "depth", "Parents that are due", &self.depth);
        add(
            to,
            "adds",
            "Parents that became due; one that is due already is not counted again",
            &self.adds,
        );
        add(to, "retries", "Parents put off with backoff", &self.retries);
        add(
            to,
            "queue_duration_seconds",
            "Time that a parent was due before it was worked on",
            &self.queue_duration,
        );
        add(
            to,
            "work_duration_seconds",
            "Time that a parent was worked on",
            &self.work_duration,
        );
        add(
            to,
            "unfinished_work_seconds",
            "Time that all parents worked on now have been worked on, in all",
            &self.unfinished_work,
        );
        add(
            to,
            "longest_running_processor_seconds",
            "Time that the parent worked on longest has been worked on",
            &self.longest_running_processor,
        );
    }

    fn register_calls(&self, to: &mut Registry) {
        add(
            to,
            "skipped_passes",
            "Reconciles that made no pass over the parent: nothing changed, or too many passes in a short time",
            &self.skipped_passes,
        );
        add(to, "calls", "Calls of a handler, by outcome", &self.calls);
        add(
            to,
            "call_duration_seconds",
            "Time that the guest ran in a call; answers from memory have none",
            &self.call_duration,
        );
        add(
            to,
            "call_peak_memory_bytes",
            "The most memory that a call had since the module took over",
            &self.call_peak_memory,
        );
        add(
            to,
            "call_memory_limit_bytes",
            "The most memory that a call may have",
            &self.call_memory_limit,
        );
        add(
            to,
            "memo_hits",
            "Calls answered from memory without running the guest",
            &self.memo_hits,
        );
        add(
            to,
            "swaps",
            "Modules that were to take over, by what became of them",
            &self.swaps,
        );
        add(
            to,
            "writes",
            "Writes to the API server, by what was written and the outcome",
            &self.writes,
        );
    }

    fn register_handlers(&self, to: &mut Registry) {
        add(to, "parents", "Parents that exist", &self.parents);
        add(
            to,
            "failing_parents",
            "Parents whose last pass failed",
            &self.failing_parents,
        );
        add(to, "module_info", "The module that runs", &self.module_info);
        add(
            to,
            "handler_condition",
            "Whether a condition of the Handler is True; only its present reason is there",
            &self.condition,
        );
        add(
            to,
            "handlers",
            "Handlers that this host manages",
            &self.handlers,
        );
        add(
            to,
            "watches",
            "Watches that are open, and those of them that are silent for too long",
            &self.watches,
        );
        add(to, "build_info", "What this program is", &self.build_info);
    }
}

fn add(to: &mut Registry, name: &str, help: &str, metric: &(impl Metric + Clone)) {
    to.register(name, help, metric.clone());
}
