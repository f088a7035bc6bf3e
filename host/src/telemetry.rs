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

/// The default filter. kube's own log lines are off: kube logs each failed request, and the host reports each problem
/// once by itself.
const FILTER: &str = "info,kube_client=off,kube_runtime=off";

/// Starts the log, which goes to standard error since standard output is for results, and the traces if there are any.
pub(crate) fn start(format: LogFormat, traces: Option<&Traces>) {
    start_with(FILTER, format, traces);
}

/// Like [`start`], for a command that calls a handler for many parents: the log is off unless RUST_LOG is set, so that
/// the lines of all calls do not hide the result.
pub(crate) fn start_quietly() {
    start_with("off", LogFormat::Text, None);
}

fn start_with(fallback: &str, format: LogFormat, traces: Option<&Traces>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(fallback));
    let is_terminal = io::stderr().is_terminal();
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        // If the reader of standard error is gone, the host must go on. Reporting the error to standard error would
        // fail again, and panic.
        .log_internal_errors(false)
        .with_ansi(is_terminal);
    let is_json = match format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = if is_json {
        // The fields are at the top level, so that a search needs only their names.
        let json = lines.json().flatten_event(true);
        json.with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    let lines = lines.with_filter(filter);
    // Spans for traces are not part of the log, whatever RUST_LOG says. Without traces they are disabled and cost
    // nothing.
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

/// Prints the error of a command that failed; it may contain text of a guest. A failure to print is ignored, since the
/// exit code says that the command failed.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "error: {}", one_line(message));
}

/// Prints a result. A reader that closes the pipe early, such as `head`, is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a remark to standard error, beside the result. A failure to print is ignored.
pub(crate) fn note(message: &str) {
    let _ = writeln!(io::stderr(), "{}", one_line(message));
}

/// One line on standard error that shows the progress and is overwritten in place. It is shown only on a terminal.
pub(crate) struct ProgressLine {
    things: String,
    /// The percentage that was shown last; None if standard error is not a terminal.
    shown: Cell<Option<usize>>,
}

impl ProgressLine {
    pub(crate) fn new(things: String) -> Self {
        let is_seen = io::stderr().is_terminal();
        Self {
            things,
            // No percentage has this value, so the first one is shown.
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
