use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::check::Check;

/// Whether the host is ready: each Handler that was known at the start is served, or cannot be served for a reason
/// that another host would meet too.
#[derive(Clone, Default)]
pub(crate) struct HostReadiness(Arc<Mutex<ReadinessState>>);

#[derive(Default)]
struct ReadinessState {
    are_handlers_read: bool,
    /// Once ready, a host stays ready: a Handler that is created later does not make it unready.
    is_ready: bool,
    /// What each handler waits for; None if there is nothing left that the host could do for it.
    handlers: BTreeMap<String, Option<String>>,
}

impl HostReadiness {
    /// Records that all existing Handlers were read, and that `waits_for` was called for each.
    pub(crate) fn handlers_are_read(&self) {
        self.state().are_handlers_read = true;
    }

    /// Records what a handler waits for; None if there is nothing left that the host could do for it.
    pub(crate) fn waits_for(&self, handler: &str, waits_for: Option<String>) {
        let mut state = self.state();
        state.handlers.insert(handler.to_owned(), waits_for);
        state.settle();
    }

    /// Forgets a handler that is gone.
    pub(crate) fn remove(&self, handler: &str) {
        self.state().handlers.remove(handler);
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let mut state = self.state();
        state.settle();
        if state.is_ready {
            return vec![Check::passed("handlers")];
        }
        let unread = (!state.are_handlers_read).then(|| "they are being read".to_owned());
        let handlers = state.handlers.iter();
        let each = handlers.map(|(name, waits_for)| Check {
            name: format!("handler/{name}"),
            problem: waits_for.clone(),
        });
        let read = Check {
            name: "handlers".to_owned(),
            problem: unread,
        };
        [read].into_iter().chain(each).collect()
    }

    fn state(&self) -> MutexGuard<'_, ReadinessState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadinessState {
    fn settle(&mut self) {
        self.is_ready |= self.are_handlers_read && self.handlers.values().all(Option::is_none);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(readiness: &HostReadiness) -> Vec<String> {
        let checks = readiness.checks().into_iter();
        checks
            .filter(|check| check.problem.is_some())
            .map(|check| check.name)
            .collect()
    }

    #[test]
    fn it_is_ready_when_the_handlers_known_at_the_start_are_and_stays_so() {
        let readiness = HostReadiness::default();
        assert_eq!(failed(&readiness), ["handlers"]);
        readiness.waits_for("a", Some("its module".to_owned()));
        readiness.waits_for("b", Some("its kinds".to_owned()));
        readiness.waits_for("c", None);
        assert_eq!(failed(&readiness), ["handlers", "handler/a", "handler/b"]);
        readiness.handlers_are_read();
        readiness.remove("b");
        assert_eq!(failed(&readiness), ["handler/a"]);
        readiness.waits_for("a", None);
        readiness.waits_for("d", Some("its module".to_owned()));
        assert!(failed(&readiness).is_empty());
    }
}
