//! The suites, one file per theme, in one binary so that all share one control plane.

// Clippy's allowance for tests knows only functions marked as such, not what they share.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod control_plane;
