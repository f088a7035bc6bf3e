//! Runs handlers: WebAssembly components in a sandbox with nothing granted.
//!
//! A [`Runtime`] is made once. It [loads](Runtime::load) a module: it checks its bytes, compiles it, finds the
//! [`World`] that it was built for, and links it. Every call then gets an instance of its own, with a deadline, a
//! memory limit, a wall clock that stands still and random numbers that are seeded from the module, its config and the
//! parent's name. So the same input gives the same bytes out, and a [`Memo`] need not run a handler twice for it.
//!
//! Calls block, and compiling takes tenths of a second. Neither belongs on an async thread.
//!
//! Each version of the world has a directory, such as `v0_1`: its bindings, its [`Contract`](contract::Contract), and
//! the translation to the types of the core. `world.rs` joins them; a new version is one more directory and one
//! more variant there.

mod answers;
mod component;
mod console;
mod contract;
mod error;
mod gate;
mod limits;
mod memo;
mod module;
mod room;
mod runtime;
mod sandbox;
mod turns;
mod v0_1;
mod v0_2;
mod world;

pub use component::{Component, ComponentHandler};
pub use error::{DescribeError, ModuleError};
pub use memo::{Memo, MemoCounts, Memoised, Tally};
pub use module::check_header;
pub use room::MemoryBudget;
pub use runtime::{Runtime, RuntimeError, compile};
pub use world::World;
