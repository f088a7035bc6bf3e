//! The suites that need real Pods. `just e2e` runs them where a node may run; elsewhere they are ignored.

// Clippy's allowance for tests knows only functions marked as such, not what they share.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod host;
mod node;
// By its name the last, for it takes the host away.
mod uninstall;
