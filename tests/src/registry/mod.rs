//! Image registries, a real one and one that misbehaves, and the modules in them.

mod distribution;
mod hostile;
pub mod modules;

pub use self::distribution::{PASSWORD, Registry, USER, login};
pub use self::hostile::{HostileRegistry, RegistryBehaviour, network_address};
