use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::check::Check;

/// Whether the host has come as far as it can: the Handlers known at its start are served, or cannot be for a
/// reason that another host would meet as well.
#[derive(Clone, Default)]
pub(crate) struct HostReadiness(Arc<Mutex<ReadinessState>>);

#[derive(Default)]
struct ReadinessState {
    are_handlers_read: bool,
    /// Once ready, a host stays so: a Handler that comes later is no reason to take it for a new one.
    is_ready: bool,
    /// What each handler waits for; None if it has come as far as it can.
    handlers: BTreeMap<String, Option<String>>,
}

impl HostReadiness {
    /// The Handlers that there are have been read, and each has said how it stands.
    pub(crate) fn handlers_are_read(&self) {
        self.state().are_handlers_read = true;
    }

    /// What a handler waits for; None if it has come as far as it can.
    pub(crate) fn waits_for(&self, handler: &str, waits_for: Option<String>) {
        let mut state = self.state();
        state.handlers.insert(handler.to_owned(), waits_for);
        state.settle();
    }

    /// The handler is gone.
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
