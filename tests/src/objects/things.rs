//! The kinds `Thing0`, `Thing1` and so on, which tests install for themselves.

/// The group and version of these kinds.
pub const THINGS: &str = "many.tests.handler-host.dev/v1";

/// The kind of an index.
pub fn thing(index: usize) -> String {
    format!("Thing{index}")
}
