//! The suites, one file for each subject. They are one binary, so that all of them share one control plane.

// The exceptions for tests in clippy.toml do not cover functions that tests share.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod api_server;
mod api_server_faults;
mod approval;
mod bad_input;
mod board;
mod commands;
mod config_maps;
mod conflicts;
mod control_plane;
mod crd;
mod docs;
mod evc;
mod faults;
mod fields;
mod finalizers;
mod grants;
mod handler_crd;
mod handlers;
mod images;
mod kinds;
mod lease;
mod manifests;
mod many;
mod metrics;
mod object_errors;
mod outcomes;
mod ownership;
mod parent_status;
mod preview;
mod preview_failures;
mod probes;
mod quantities;
mod restart;
mod rights;
mod rollback;
mod sandbox;
mod settling;
mod swap;
mod swap_images;
mod traces;
mod variants;
mod volumes;
mod writes;
