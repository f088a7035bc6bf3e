//! Lines for the host's log, which adds the handler's and the parent's name. A call may write 100
//! lines and 16 KiB in all; the host drops the rest.
//!
//! In native tests the lines go to standard error. `cargo test` shows them if a test fails.
//!
//! ```
//! handler_sdk::log::info(format!("{} replicas are ready", 3));
//! ```

use crate::bindings::handler_host::handler::log::Level;

/// Writes a line that is shown only on request.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref());
}

/// Writes a line that is shown by default.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref());
}

/// Writes a line about something unusual.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref());
}

/// Writes a line about a failure.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref());
}

#[cfg(target_family = "wasm")]
fn write(level: Level, message: &str) {
    crate::bindings::handler_host::handler::log::write(level, message);
}

#[cfg(not(target_family = "wasm"))]
#[expect(clippy::print_stderr, reason = "the test harness captures it")]
fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}
