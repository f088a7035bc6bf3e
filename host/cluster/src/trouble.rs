use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many different problems are said while a trouble lasts: their wording may differ each time.
const SAID: usize = 8;

/// Says each trouble once, and once that it is over, however often it is met in between.
pub(crate) struct Trouble {
    place: String,
    /// What follows from it, for the user.
    consequence: &'static str,
    /// The problems said since the last time there was none; an outage shows several, in turns.
    said: Mutex<Vec<String>>,
}

impl Trouble {
    /// A trouble after which the same is tried again.
    pub(crate) fn at(place: impl Into<String>) -> Self {
        Self::with_consequence(place, "trying again")
    }

    pub(crate) fn with_consequence(place: impl Into<String>, consequence: &'static str) -> Self {
        Self {
            place: place.into(),
            consequence,
            said: Mutex::default(),
        }
    }

    pub(crate) fn met(&self, problem: &dyn Display) {
        let problem = problem.to_string();
        let mut said = self.said();
        if said.len() < SAID && !said.contains(&problem) {
            tracing::warn!("{}: {problem}; {}", self.place, self.consequence);
            said.push(problem);
        }
    }

    pub(crate) fn is_over(&self) {
        let mut said = self.said();
        if !said.is_empty() {
            said.clear();
            tracing::info!("{}: works again", self.place);
        }
    }

    fn said(&self) -> MutexGuard<'_, Vec<String>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
