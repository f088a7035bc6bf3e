//! The suites, one file per theme, in one binary so that all share one control plane.

mod control_plane;
