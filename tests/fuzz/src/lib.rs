//! What must hold for every input that comes from outside: from guests, from who writes Handlers and parents, from
//! registries. Each target is a function of bytes that panics where a promise is broken. `cargo test` plays the corpus of each, and
//! `just fuzz` has libFuzzer look for more.

// A failure of a target is a finding, told by its panic.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod answers;
mod documents;
mod handlers;
mod manifests;
mod modules;
mod quantities;
mod yaml;

pub use answers::answers;
pub use documents::documents;
pub use handlers::handlers;
pub use manifests::manifests;
pub use modules::modules;
pub use quantities::{RECORDED, Recorded, quantities, recorded};

/// The program in which libFuzzer runs a target. Without libFuzzer it does nothing.
#[macro_export]
macro_rules! target {
    ($target:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$target(data));

        #[cfg(not(fuzzing))]
        fn main() {}
    };
}
