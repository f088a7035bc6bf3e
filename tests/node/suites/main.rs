//! The suites that need real Pods. `just e2e` runs them where a node may run; `cargo test` alone ignores them.

// The exceptions for tests in clippy.toml do not cover functions that tests share.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod host;
mod node;
// Tests run in the order of their names. This one must be the last, because it uninstalls the host.
mod uninstall;
