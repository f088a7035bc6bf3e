use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use handler_host_cluster::TRACES;
use handler_host_core::one_line;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::arguments::LogFormat;
use crate::traces::Traces;

/// What kube says of each failed request, this host tells once, in its own words.
const FILTER: &str = "info,kube_client=off,kube_runtime=off";

/// Sends log lines to standard error: standard output is for results. And traces, if they are asked for.
pub(crate) fn start(format: LogFormat, traces: Option<&Traces>) {
    start_with(FILTER, format, traces);
}

/// As [`start`], for a command that calls a handler a thousand times: what each call writes is told only to
/// those who ask for it with RUST_LOG.
pub(crate) fn start_quietly() {
    start_with("off", LogFormat::Text, None);
}

fn start_with(fallback: &str, format: LogFormat, traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(fallback));
    let is_terminal = io::stderr().is_terminal();
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        // A reader that went away is no reason to stop serving; saying so to the same reader would be.
        .log_internal_errors(false)
        .with_ansi(is_terminal);
    let is_json = match format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = if is_json {
        // Flat, so that each line is found by its fields alone.
        let json = lines.json().flatten_event(true);
        json.with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    let lines = lines.with_filter(filter);
    // What is traced is no part of the log, whatever RUST_LOG says; without traces nothing is spent on it.
    let lines = lines.with_filter(filter_fn(|of| of.target() != TRACES));
    let spans = traces.map(|traces| {
        traces
            .layer()
            .with_filter(filter_fn(|of| of.target() == TRACES))
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(lines)
        .init();
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
