//! The guests of the suites: variants of `chameleon`, specs for `puppet`, and attacks of `hostile`.

pub mod hostile;
pub mod puppets;
pub mod variants;
