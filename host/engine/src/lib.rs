//! Runs handlers: WebAssembly components in a sandbox with nothing granted.
//!
//! A [`Runtime`] is made once. It [loads](Runtime::load) a module: checks its bytes and imports, compiles
//! it and links it. Every call then gets an instance of its own, with a deadline, a memory limit, clocks
//! that stand still and randomness seeded from the module, its config and the parent's name, so that the
//! same input gives the same bytes out, and a [`Memo`] need not ask twice. Calls block; compiling takes tenths of a second. Neither belongs on
//! an async thread.

mod component;
mod console;
mod gate;
mod limits;
mod memo;
mod module;
mod runtime;
mod sandbox;
mod v0_1;

pub use component::{Component, Handler};
pub use memo::{Memo, MemoCounts, Memoised, Tally};
pub use module::{DescribeError, ModuleError, WORLD_VERSION};
pub use runtime::{Runtime, RuntimeError};
