use std::collections::HashMap;

use handler_host_core::{ChildRef, Digest, HandlerEvent, Key, Object, TokenBucket, Verdict};
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::fingerprint::Fingerprint;

/// What is remembered of each parent between passes. Nothing here must survive a restart.
#[derive(Default)]
pub(crate) struct ParentStates(Mutex<HashMap<Key, ParentState>>);

/// What is remembered of one parent.
#[derive(Default)]
pub(crate) struct ParentState {
    /// Whose state it is: a parent that was deleted and made again begins anew.
    uid: Box<str>,
    /// What the last pass left behind; None if the next look must be a pass.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// How soon it may be worked on again.
    pub(crate) turns: TokenBucket,
    /// Passes in a row that are to be tried again.
    pub(crate) failures: u32,
    /// Reports in a row that could not be written.
    pub(crate) unwritten: u32,
    /// Whether the last verdict that the parent was told is a failure.
    pub(crate) is_failing: bool,
    /// Whether the last pass met an API server that could not answer.
    pub(crate) has_problem: bool,
    /// What the API server made of children that do not stand as desired.
    pub(crate) accepted: HashMap<ChildRef, Digest>,
    /// What is to be written about it.
    pub(crate) report: Option<Box<Report>>,
}

/// What is to be written about a parent, once its turn comes.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    /// The module that gave it.
    pub(crate) digest: Digest,
    /// The generation of the parent that the pass saw.
    pub(crate) generation: Option<i64>,
    pub(crate) status: Option<Map<String, Value>>,
    pub(crate) events: Vec<HandlerEvent>,
}

impl ParentStates {
    /// Works on a parent's state, made if there is none.
    pub(crate) fn with<T>(&self, parent: &Object, work: impl FnOnce(&mut ParentState) -> T) -> T {
        let mut states = self.0.lock();
        let state = states.entry(parent.key()).or_default();
        if *state.uid != *parent.meta.uid {
            *state = ParentState {
                uid: parent.meta.uid.as_str().into(),
                ..ParentState::default()
            };
        }
        work(state)
    }

    /// How many parents fail.
    pub(crate) fn failing(&self) -> usize {
        let states = self.0.lock();
        states.values().filter(|state| state.is_failing).count()
    }

    /// The next look at every parent is a pass.
    pub(crate) fn forget_what_was_left_behind(&self) {
        for state in self.0.lock().values_mut() {
            state.fingerprint = None;
        }
    }

    /// The parent is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

impl ParentState {
    /// A later verdict replaces an earlier one that was not written yet; no event is lost.
    pub(crate) fn put_report(&mut self, mut report: Report) {
        if let Some(earlier) = self.report.take() {
            let mut events = earlier.events;
            events.append(&mut report.events);
            report.events = events;
        }
        self.report = Some(Box::new(report));
    }
}
