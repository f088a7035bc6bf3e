//! What is measured. Names of controller-runtime and client-go where they have one, so that their boards and
//! alerts do; `handler_host_…` for what only this host has.

mod families;
mod handler;
mod labels;
mod series;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prometheus_client::registry::Registry;

use self::families::Families;
pub use self::handler::HandlerMeters;
pub(crate) use self::labels::Known;
pub use self::labels::SwapOutcome;
pub(crate) use self::labels::{CallOutcome, Looked, Write, WriteOutcome};
use self::labels::{OfBuild, OfLease, OfRequest, OfWatches};
use crate::vitals::Watches;

/// All meters of a host.
#[derive(Clone, Default)]
pub struct Meters(Arc<Inner>);

#[derive(Default)]
struct Inner {
    families: Families,
    handlers: Mutex<HashMap<String, Weak<HandlerMeters>>>,
}

impl Meters {
    /// Makes them known to whoever exports them.
    pub fn register(&self, registry: &mut Registry) {
        self.0.families.register(registry);
    }

    /// The meters of one handler. When the last one who has them drops them, its series go.
    #[must_use]
    pub fn handler(&self, name: &str) -> Arc<HandlerMeters> {
        let mut handlers = self.handlers();
        if let Some(known) = handlers.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let meters = Arc::new(HandlerMeters::new(name, self));
        handlers.insert(name.to_owned(), Arc::downgrade(&meters));
        meters
    }

    /// Whether this host is the one that holds a lease.
    pub fn leads(&self, lease: &str, is_leader: bool) {
        let name = lease.to_owned();
        let status = &self.0.families.leader_election_master_status;
        status
            .get_or_create(&OfLease { name })
            .set(is_leader.into());
    }

    /// How many Handlers are looked after.
    pub fn handlers_are(&self, count: usize) {
        self.0.families.handlers.set(number(count));
    }

    /// What this program is.
    pub fn build_is(&self, version: &'static str) {
        let info = &self.0.families.build_info;
        info.get_or_create(&OfBuild { version }).set(1);
    }

    /// Brings up to date what is measured when somebody looks.
    pub fn refresh(&self, watches: Watches) {
        let family = &self.0.families.watches;
        for (state, count) in [("open", watches.open), ("stalled", watches.stalled)] {
            family
                .get_or_create(&OfWatches { state })
                .set(number(count));
        }
        let handlers: Vec<_> = {
            let mut handlers = self.handlers();
            handlers.retain(|_, meters| meters.strong_count() > 0);
            handlers.values().filter_map(Weak::upgrade).collect()
        };
        // Not while the lock is held: the last of them may be dropped here.
        for meters in handlers {
            meters.refresh();
        }
    }

    /// The API server answered a request; None if it did not.
    pub(crate) fn requested(&self, method: &http::Method, code: Option<u16>) {
        let labels = OfRequest {
            code: code.map_or_else(|| "<error>".to_owned(), |code| code.to_string()),
            method: method.to_string(),
        };
        let requests = &self.0.families.rest_client_requests;
        requests.get_or_create(&labels).inc();
    }

    fn handlers(&self) -> MutexGuard<'_, HashMap<String, Weak<HandlerMeters>>> {
        self.0
            .handlers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use handler_host_core::{Digest, Effort};
    use prometheus_client::encoding::prometheus_text;

    use super::*;

    fn exported(meters: &Meters) -> Vec<String> {
        let mut registry = Registry::default();
        meters.register(&mut registry);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn about(meters: &Meters, what: &str) -> Vec<String> {
        let lines = exported(meters).into_iter();
        lines.filter(|line| line.contains(what)).collect()
    }

    #[test]
    fn the_series_of_a_handler_go_with_the_last_who_has_its_meters() {
        let meters = Meters::default();
        let (one, same) = (meters.handler("one"), meters.handler("one"));
        let other = meters.handler("other");
        one.condition_is("Ready", "Serving", true);
        one.module_is(Some(Digest::of(b"module")), 1);
        let series = about(&meters, r#""one""#).len();
        assert!(series > 100, "{series}");
        drop(one);
        assert_eq!(about(&meters, r#""one""#).len(), series);
        drop(same);
        assert_eq!(about(&meters, r#""one""#), [""; 0]);
        assert!(!about(&meters, r#""other""#).is_empty());
        drop(other);
        // Of a name that comes again, the counts begin anew.
        meters
            .handler("one")
            .called(CallOutcome::Denied, Effort::Remembered);
        let again = meters.handler("one");
        again.called(CallOutcome::Denied, Effort::Nothing);
        let denied = about(&meters, r#"calls_total{handler="one",outcome="denied"}"#);
        assert!(denied[0].ends_with(" 1"), "{denied:?}");
    }

    #[test]
    fn of_modules_and_conditions_only_the_present_ones_are_there() {
        let meters = Meters::default();
        let handler = meters.handler("one");
        for digest in [Digest::of(b"a"), Digest::of(b"b")] {
            handler.module_is(Some(digest), 1 << 20);
            let ran = Effort::Ran {
                took: std::time::Duration::from_millis(1),
                memory: 4096,
            };
            handler.called(CallOutcome::Answered, ran);
            handler.module_is(Some(digest), 1 << 20);
            assert_eq!(about(&meters, "_module_info{").len(), 1);
            let peak = about(&meters, "peak_memory_bytes{");
            assert!(peak[0].ends_with(" 4096"), "{peak:?}");
        }
        handler.module_is(None, 0);
        assert_eq!(about(&meters, "_module_info{"), [""; 0]);
        handler.condition_is("Ready", "Pending", false);
        handler.condition_is("ModuleLoaded", "Loaded", true);
        handler.condition_is("Ready", "Serving", true);
        let conditions = about(&meters, "handler_condition{");
        assert_eq!(conditions.len(), 2, "{conditions:?}");
        assert!(about(&meters, "Serving")[0].ends_with(" 1"));
    }

    #[test]
    fn work_under_way_is_measured_when_somebody_looks() {
        let meters = Meters::default();
        let handler = meters.handler("one");
        let seconds = || {
            meters.refresh(Watches::default());
            let lines = about(&meters, "workqueue_longest_running_processor_seconds{");
            let (_, seconds) = lines[0].rsplit_once(' ').unwrap();
            seconds.parse::<f64>().unwrap()
        };
        assert_eq!(seconds().to_bits(), 0);
        let work = handler.begin();
        assert!(seconds() > 0.0);
        work.looked(Looked::Error);
        drop(work);
        assert_eq!(seconds().to_bits(), 0);
        let errors = about(&meters, "reconcile_errors_total{");
        assert!(errors[0].ends_with(" 1"), "{errors:?}");
    }
}
