//! The guests of the suites: variants of `chameleon`, and specs for `puppet`.

pub mod puppets;
pub mod variants;
