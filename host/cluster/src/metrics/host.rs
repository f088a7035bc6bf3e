use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use super::families::Families;
use super::handler::HandlerMetrics;
use super::holders::Holders;
use super::labels::{OfBuild, OfLease, OfRequest, OfWatches};
use super::series::number;
use crate::health::WatchCounts;

/// All metrics of a host.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    families: Arc<Families>,
    holders: Arc<Holders>,
    handlers: Mutex<HashMap<String, Weak<HandlerMetrics>>>,
}

impl Metrics {
    /// Registers all metrics, to be exported.
    pub fn register(&self, registry: &mut Registry) {
        self.0.families.register(registry);
    }

    /// The metrics of one handler. Its series are removed when the last of these is dropped.
    #[must_use]
    pub fn handler(&self, name: &str) -> Arc<HandlerMetrics> {
        let mut handlers = self.0.handlers.lock();
        if let Some(known) = handlers.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let metrics = HandlerMetrics::new(name, self.0.families.clone(), self.0.holders.clone());
        let metrics = Arc::new(metrics);
        handlers.insert(name.to_owned(), Arc::downgrade(&metrics));
        metrics
    }

    /// Sets whether this host holds a lease.
    pub fn leads(&self, lease: &str, is_leader: bool) {
        let name = lease.to_owned();
        let status = &self.0.families.leader_election_master_status;
        status
            .get_or_create(&OfLease { name })
            .set(is_leader.into());
    }

    /// Sets how many Handlers this host manages.
    pub fn handlers_are(&self, count: usize) {
        self.0.families.handlers.set(number(count));
    }

    /// Sets the version of this program.
    pub fn build_is(&self, version: &'static str) {
        let info = &self.0.families.build_info;
        info.get_or_create(&OfBuild { version }).set(1);
    }

    /// Brings the gauges up to date that are measured only when metrics are read.
    pub fn refresh(&self, watches: WatchCounts) {
        let family = &self.0.families.watches;
        for (state, count) in [("open", watches.open), ("stalled", watches.stalled)] {
            family
                .get_or_create(&OfWatches { state })
                .set(number(count));
        }
        let mut handlers = self.0.handlers.lock();
        handlers.retain(|_, metrics| metrics.strong_count() > 0);
        for metrics in handlers.values().filter_map(Weak::upgrade) {
            metrics.refresh();
        }
    }

    /// Counts a request, by the code of the answer; None if there was no answer.
    pub(crate) fn requested(&self, method: &http::Method, code: Option<u16>) {
        let labels = OfRequest {
            code: code.map_or_else(|| "<error>".to_owned(), |code| code.to_string()),
            method: method.to_string(),
        };
        let requests = &self.0.families.rest_client_requests;
        requests.get_or_create(&labels).inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use handler_host_core::{ConditionType, Digest, Effort, HandlerCondition, HandlerReason};
    use prometheus_client::encoding::prometheus_text;

    use super::super::outcomes::{CallOutcome, PassResult};
    use super::*;

    fn condition(type_: ConditionType, reason: HandlerReason) -> HandlerCondition {
        HandlerCondition::new(type_, reason, "")
    }

    fn exported(metrics: &Metrics) -> Vec<String> {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn about(metrics: &Metrics, what: &str) -> Vec<String> {
        let lines = exported(metrics).into_iter();
        lines.filter(|line| line.contains(what)).collect()
    }

    #[test]
    fn the_series_of_a_handler_go_with_the_last_of_its_metrics() {
        let metrics = Metrics::default();
        let (one, same) = (metrics.handler("one"), metrics.handler("one"));
        let other = metrics.handler("other");
        one.condition_is(&condition(ConditionType::Ready, HandlerReason::Serving));
        one.module_is(Some(Digest::of(b"module")), 1);
        let series = about(&metrics, r#""one""#).len();
        assert!(series > 100, "{series}");
        drop(one);
        assert_eq!(about(&metrics, r#""one""#).len(), series);
        drop(same);
        assert_eq!(about(&metrics, r#""one""#), [""; 0]);
        assert!(!about(&metrics, r#""other""#).is_empty());
        drop(other);
        // A handler that is made again under the same name counts from zero.
        metrics
            .handler("one")
            .called(CallOutcome::Denied, Effort::Remembered);
        let again = metrics.handler("one");
        again.called(CallOutcome::Denied, Effort::Nothing);
        let denied = about(&metrics, r#"calls_total{handler="one",outcome="denied"}"#);
        assert!(denied[0].ends_with(" 1"), "{denied:?}");
    }

    #[test]
    fn of_modules_and_conditions_only_the_present_ones_are_there() {
        let metrics = Metrics::default();
        let handler = metrics.handler("one");
        for digest in [Digest::of(b"a"), Digest::of(b"b")] {
            handler.module_is(Some(digest), 1 << 20);
            let ran = Effort::Ran {
                took: std::time::Duration::from_millis(1),
                memory: 4096,
            };
            handler.called(CallOutcome::Answered, ran);
            handler.module_is(Some(digest), 1 << 20);
            assert_eq!(about(&metrics, "_module_info{").len(), 1);
            let peak = about(&metrics, "peak_memory_bytes{");
            assert!(peak[0].ends_with(" 4096"), "{peak:?}");
        }
        handler.module_is(None, 0);
        assert_eq!(about(&metrics, "_module_info{"), [""; 0]);
        handler.condition_is(&condition(ConditionType::Ready, HandlerReason::Pending));
        handler.condition_is(&condition(
            ConditionType::ModuleLoaded,
            HandlerReason::Loaded,
        ));
        handler.condition_is(&condition(ConditionType::Ready, HandlerReason::Serving));
        let conditions = about(&metrics, "handler_condition{");
        assert_eq!(conditions.len(), 2, "{conditions:?}");
        assert!(about(&metrics, "Serving")[0].ends_with(" 1"));
    }

    #[test]
    fn work_under_way_is_measured_when_somebody_looks() {
        let metrics = Metrics::default();
        let handler = metrics.handler("one");
        let seconds = || {
            metrics.refresh(WatchCounts::default());
            let lines = about(&metrics, "workqueue_longest_running_processor_seconds{");
            let (_, seconds) = lines[0].rsplit_once(' ').unwrap();
            seconds.parse::<f64>().unwrap()
        };
        assert_eq!(seconds().to_bits(), 0);
        let work = handler.begin();
        assert!(seconds() > 0.0);
        work.finish(PassResult::Error);
        drop(work);
        assert_eq!(seconds().to_bits(), 0);
        let errors = about(&metrics, "reconcile_errors_total{");
        assert!(errors[0].ends_with(" 1"), "{errors:?}");
    }
}
