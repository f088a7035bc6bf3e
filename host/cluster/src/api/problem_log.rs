use std::fmt::Display;

use parking_lot::Mutex;

/// How many different problems are logged during one outage. Their wording may differ each time.
const MOST: usize = 8;

/// Logs each problem of one task once, however often it is reported, and logs once that the task works again.
pub(crate) struct ProblemLog {
    task: String,
    /// What the host does about a problem, such as `trying again`.
    consequence: &'static str,
    /// The problems that were logged since the task last worked. One outage shows several, in turns.
    logged: Mutex<Vec<String>>,
}

impl ProblemLog {
    /// The log of a task that is tried again when it fails.
    pub(crate) fn of(task: impl Into<String>) -> Self {
        Self::with_consequence(task, "trying again")
    }

    /// The log of a task with another consequence.
    pub(crate) fn with_consequence(task: impl Into<String>, consequence: &'static str) -> Self {
        Self {
            task: task.into(),
            consequence,
            logged: Mutex::default(),
        }
    }

    /// Logs a problem, unless it was logged already.
    pub(crate) fn report(&self, problem: &dyn Display) {
        let problem = problem.to_string();
        let mut logged = self.logged.lock();
        if logged.len() < MOST && !logged.contains(&problem) {
            tracing::warn!("{}: {problem}; {}", self.task, self.consequence);
            logged.push(problem);
        }
    }

    /// Logs that the task works again, if a problem was logged.
    pub(crate) fn resolve(&self) {
        let mut logged = self.logged.lock();
        if !logged.is_empty() {
            logged.clear();
            tracing::info!("{}: works again", self.task);
        }
    }
}
