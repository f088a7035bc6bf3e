use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use handler_host_core::one_line;
use tracing_subscriber::EnvFilter;

use crate::arguments::LogFormat;

/// Sends log lines to standard error: standard output is for results.
pub(crate) fn start(format: LogFormat) {
    // kube's own lines repeat each failed request that this host tells once, in its own words.
    start_with("info,kube_client=off,kube_runtime=off", format);
}

/// As [`start`], for a command that calls a handler a thousand times: what each call writes is told only to
/// those who ask for it with RUST_LOG.
pub(crate) fn start_quietly() {
    start_with("off", LogFormat::Text);
}

fn start_with(fallback: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(fallback));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // A reader that went away is no reason to stop serving; saying so to the same reader would be.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// The last word of a command that failed, which may quote a guest. If nobody reads it, the exit code says as much.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "error: {}", one_line(message));
}

/// Prints a result. A reader that has seen enough, such as `head`, is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says something beside the result. If nobody reads it, nothing is lost.
pub(crate) fn note(message: &str) {
    let _ = writeln!(io::stderr(), "{}", one_line(message));
}

/// One line on standard error that says how far the work is, written over and over; on a terminal only.
pub(crate) struct ProgressLine {
    things: String,
    /// The share last shown, in percent; None where nobody looks.
    shown: Cell<Option<usize>>,
}

impl ProgressLine {
    pub(crate) fn new(things: String) -> Self {
        let is_seen = io::stderr().is_terminal();
        Self {
            things,
            // No share is that large: the first is news.
            shown: Cell::new(is_seen.then_some(usize::MAX)),
        }
    }

    pub(crate) fn show(&self, done: usize, of: usize) {
        let percent = done * 100 / of.max(1);
        if self.shown.get().is_some_and(|shown| shown != percent) {
            self.shown.set(Some(percent));
            let _ = write!(io::stderr(), "\r{done} of {of} {}\u{1b}[K", self.things);
        }
    }

    pub(crate) fn clear(&self) {
        if self.shown.get().is_some() {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
