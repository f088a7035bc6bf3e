use std::fmt::Display;

use parking_lot::Mutex;

/// How many different problems are logged while an outage lasts: their wording may differ each time.
const MOST: usize = 8;

/// Logs each problem of one place once, however often it is reported, and once that the place works again.
pub(crate) struct ProblemLog {
    place: String,
    /// What follows from it, for the user.
    consequence: &'static str,
    /// The problems logged since the last time there was none; an outage shows several, in turns.
    logged: Mutex<Vec<String>>,
}

impl ProblemLog {
    /// The log of a place where a failed request is made again.
    pub(crate) fn at(place: impl Into<String>) -> Self {
        Self::with_consequence(place, "trying again")
    }

    pub(crate) fn with_consequence(place: impl Into<String>, consequence: &'static str) -> Self {
        Self {
            place: place.into(),
            consequence,
            logged: Mutex::default(),
        }
    }

    pub(crate) fn report(&self, problem: &dyn Display) {
        let problem = problem.to_string();
        let mut logged = self.logged.lock();
        if logged.len() < MOST && !logged.contains(&problem) {
            tracing::warn!("{}: {problem}; {}", self.place, self.consequence);
            logged.push(problem);
        }
    }

    pub(crate) fn resolve(&self) {
        let mut logged = self.logged.lock();
        if !logged.is_empty() {
            logged.clear();
            tracing::info!("{}: works again", self.place);
        }
    }
}
