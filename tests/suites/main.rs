//! The suites, one file per theme, in one binary so that all share one control plane.

// Clippy's allowance for tests knows only functions marked as such, not what they share.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod api_server;
mod approval;
mod bad_input;
mod board;
mod commands;
mod config_maps;
mod conflicts;
mod control_plane;
mod crd;
mod desk;
mod evc;
mod faults;
mod finalizers;
mod grants;
mod handler_crd;
mod handlers;
mod images;
mod lease;
mod manifests;
mod many;
mod metrics;
mod outcomes;
mod preview;
mod preview_failures;
mod probes;
mod quantities;
mod restart;
mod rights;
mod rollback;
mod sandbox;
mod stage;
mod swap;
mod swap_images;
mod traces;
mod variants;
mod volumes;
mod writes;
