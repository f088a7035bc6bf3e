use std::io::IsTerminal;

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
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// The last word of a command that failed.
#[allow(
    clippy::print_stderr,
    reason = "the one place where errors reach the user"
)]
pub(crate) fn complain(message: &str) {
    eprintln!("error: {message}");
}
