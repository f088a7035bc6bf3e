use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use handler_host_core::{
    ChildRef, Digest, HandlerEvent, Key, Object, PassReport, Settling, TokenBucket, Verdict,
};
use parking_lot::Mutex;

use super::fingerprint::Fingerprint;
use super::related::RememberedQueries;

/// What is remembered of each parent between passes. Nothing of it has to survive a restart.
#[derive(Default)]
pub(crate) struct ParentStates {
    states: Mutex<HashMap<Key, ParentState>>,
    /// The bytes of all reports that wait.
    waiting: Arc<AtomicUsize>,
}

/// What is remembered of one parent.
#[derive(Default)]
pub(crate) struct ParentState {
    /// The uid of the parent. A parent that was deleted and created again has a new state.
    uid: Box<str>,
    /// What the handler saw at its last call; None if the next reconcile must make a pass.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// What the module asks to see beside parent and children.
    pub(super) queries: Option<RememberedQueries>,
    /// The passes that the parent may have now.
    pub(crate) tokens: TokenBucket,
    /// How many passes in a row failed and are tried again.
    pub(crate) failures: u32,
    /// How many reports in a row could not be written.
    pub(crate) unwritten: u32,
    /// Whether the last verdict that was reported is a failure.
    pub(crate) is_failing: bool,
    /// Whether the API server could not answer during the last pass.
    pub(crate) has_problem: bool,
    /// The marks of what the API server made of children that it rewrites.
    pub(crate) accepted: HashMap<ChildRef, Digest>,
    /// Whether the children settle.
    pub(crate) settling: Settling,
    /// What was told last, where the parent's status does not keep it.
    pub(crate) told: Option<Box<Verdict>>,
    /// What is withheld while a module is on trial, to be told in an Event of its own.
    pub(crate) notice: Option<Box<HandlerEvent>>,
    /// The module whose failure was told so.
    pub(crate) noticed: Option<Digest>,
    /// The report that is to be written.
    report: Option<Box<WaitingReport>>,
}

/// What is to be written about a parent: its status, and Events.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) told: PassReport,
    /// The module that gave the verdict.
    pub(crate) digest: Digest,
    /// The generation of the parent that the pass saw.
    pub(crate) generation: Option<i64>,
}

/// A report that waits, and its bytes among those of all.
struct WaitingReport {
    report: Report,
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl WaitingReport {
    fn new(report: Report, all: &Arc<AtomicUsize>) -> Self {
        let bytes = report.bytes();
        all.fetch_add(bytes, Ordering::Relaxed);
        Self {
            report,
            bytes,
            all: all.clone(),
        }
    }
}

impl Drop for WaitingReport {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ParentStates {
    /// Keeps a report until it is written. It replaces the verdict of an earlier report, and keeps its Events.
    pub(super) fn put_report(&self, parent: &Object, mut report: Report) {
        self.with(parent, |state| {
            if let Some(earlier) = state.report.take() {
                let mut events = earlier.report.told.events.clone();
                events.append(&mut report.told.events);
                let spare = events.len().saturating_sub(WAITING_EVENTS);
                events.drain(..spare);
                report.told.events = events;
            }
            state.report = Some(Box::new(WaitingReport::new(report, &self.waiting)));
        });
    }

    /// Takes the report of a parent, to write it.
    pub(super) fn take_report(&self, parent: &Object) -> Option<Report> {
        let waiting = self.with(parent, |state| state.report.take());
        waiting.map(|waiting| waiting.report.clone())
    }

    /// Whether so many reports wait that another one is written by its pass.
    pub(super) fn has_many_reports(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > WAITING_BYTES
    }

    /// Gives access to a parent's state, which is created if there is none.
    pub(crate) fn with<T>(&self, parent: &Object, work: impl FnOnce(&mut ParentState) -> T) -> T {
        let mut states = self.states.lock();
        let state = states.entry(parent.key()).or_default();
        if *state.uid != *parent.meta.uid {
            *state = ParentState {
                uid: parent.meta.uid.as_str().into(),
                ..ParentState::default()
            };
        }
        work(state)
    }

    /// Whether there is a state of a parent of this key.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.states.lock().contains_key(key)
    }

    /// How many parents fail.
    pub(crate) fn failing(&self) -> usize {
        let states = self.states.lock();
        states.values().filter(|state| state.is_failing).count()
    }

    /// Has the next reconcile of every parent make a pass.
    pub(crate) fn forget_fingerprints(&self) {
        for state in self.states.lock().values_mut() {
            state.fingerprint = None;
        }
    }

    /// Forgets a parent that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.states.lock().remove(key);
    }
}

/// A status that takes more memory than this, in bytes, does not wait until it is written: there may be as many of them as
/// there are parents.
const SMALL_STATUS: usize = 8 << 10;
/// How many Events of one parent wait. Of more, the last ones are told.
const WAITING_EVENTS: usize = 32;
/// How many bytes the reports of a handler that wait may have.
const WAITING_BYTES: usize = 1 << 20;

impl Report {
    /// The bytes that it takes, about.
    fn bytes(&self) -> usize {
        let PassReport {
            verdict,
            status,
            events,
        } = &self.told;
        let texts = events.iter();
        let texts = texts.map(|it| size_of::<HandlerEvent>() + it.reason.len() + it.message.len());
        let status = status.as_ref().map_or(0, |status| status.memory);
        size_of::<Self>() + verdict.message.len() + texts.sum::<usize>() + status
    }

    /// Whether it has a status that does not wait.
    pub(crate) fn has_large_status(&self) -> bool {
        let status = self.told.status.as_ref();
        status.is_some_and(|status| status.memory > SMALL_STATUS)
    }
}

impl ParentState {
    /// Notes that the host wrote the status of the parent that it had seen as `before`: that is no news to a handler.
    pub(super) fn wrote_status(&mut self, before: &Object, after: &Object) {
        if let Some(fingerprint) = &mut self.fingerprint {
            fingerprint.wrote_status(before, after);
        }
        if let Some(queries) = &mut self.queries {
            queries.wrote_status(before, after);
        }
    }

    /// What is to be told of the parent.
    pub(super) fn waiting_verdict(&self) -> Option<&Verdict> {
        let waiting = self.report.as_ref()?;
        Some(&waiting.report.told.verdict)
    }
}
