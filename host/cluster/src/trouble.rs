use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

/// Says each trouble once, and once that it is over, however often it is met in between.
pub(crate) struct Trouble {
    place: String,
    last: Mutex<Option<String>>,
}

impl Trouble {
    pub(crate) fn at(place: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            last: Mutex::new(None),
        }
    }

    pub(crate) fn met(&self, problem: &dyn Display) {
        let problem = problem.to_string();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&problem) {
            tracing::warn!("{}: {problem}; trying again", self.place);
            *last = Some(problem);
        }
    }

    pub(crate) fn is_over(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.take().is_some() {
            tracing::info!("{}: works again", self.place);
        }
    }
}
