use std::io::{self, IsTerminal, Write};

use handler_host_core::one_line;
use tracing_subscriber::EnvFilter;

use crate::arguments::LogFormat;

/// Sends log lines to standard error: standard output is for results.
pub(crate) fn start(format: LogFormat) {
    // kube's own lines repeat each failed request that this host tells once, in its own words.
    let fallback = "info,kube_client=off,kube_runtime=off";
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
