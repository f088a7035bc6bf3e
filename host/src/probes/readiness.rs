use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::check::Check;

/// Whether the host has come as far as it can: the Handlers known at its start are served, or cannot be for a
/// reason that another host would meet as well.
#[derive(Clone, Default)]
pub(crate) struct Readiness(Arc<Mutex<Progress>>);

#[derive(Default)]
struct Progress {
    are_handlers_read: bool,
    /// Once ready, a host stays so: a Handler that comes later is no reason to take it for a new one.
    is_ready: bool,
    /// What each handler waits for; None if it has come as far as it can.
    handlers: BTreeMap<String, Option<String>>,
}

impl Readiness {
    /// The Handlers that there are have been read, and each has said how it stands.
    pub(crate) fn handlers_are_read(&self) {
        self.progress().are_handlers_read = true;
    }

    /// What a handler waits for; None if it has come as far as it can.
    pub(crate) fn stands(&self, handler: &str, waits_for: Option<String>) {
        let mut progress = self.progress();
        progress.handlers.insert(handler.to_owned(), waits_for);
        progress.settle();
    }

    /// The handler is gone.
    pub(crate) fn gone(&self, handler: &str) {
        self.progress().handlers.remove(handler);
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let mut progress = self.progress();
        progress.settle();
        if progress.is_ready {
            return vec![Check::passed("handlers")];
        }
        let unread = (!progress.are_handlers_read).then(|| "they are being read".to_owned());
        let handlers = progress.handlers.iter();
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

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn settle(&mut self) {
        self.is_ready |= self.are_handlers_read && self.handlers.values().all(Option::is_none);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(readiness: &Readiness) -> Vec<String> {
        let checks = readiness.checks().into_iter();
        checks
            .filter(|check| check.problem.is_some())
            .map(|check| check.name)
            .collect()
    }

    #[test]
    fn it_is_ready_when_the_handlers_known_at_the_start_are_and_stays_so() {
        let readiness = Readiness::default();
        assert_eq!(failed(&readiness), ["handlers"]);
        readiness.stands("a", Some("its module".to_owned()));
        readiness.stands("b", Some("its kinds".to_owned()));
        readiness.stands("c", None);
        assert_eq!(failed(&readiness), ["handlers", "handler/a", "handler/b"]);
        readiness.handlers_are_read();
        readiness.gone("b");
        assert_eq!(failed(&readiness), ["handler/a"]);
        readiness.stands("a", None);
        readiness.stands("d", Some("its module".to_owned()));
        assert!(failed(&readiness).is_empty());
    }
}
