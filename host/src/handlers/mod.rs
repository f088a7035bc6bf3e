//! Handlers as resources: where they are read from.

// Not called yet: `run --handler` comes with the next step.
#[cfg_attr(not(test), expect(dead_code))]
pub(crate) mod files;
