//! A namespace for each test, alone or served by an operator.

mod appearances;
pub mod claims;
mod handler_specs;
mod handler_waits;
mod handlers;
mod isolated;
pub mod preview;
mod puppets;

pub use self::appearances::Appearances;
pub use self::claims::VolumeClaims;
pub use self::handlers::Hosted;
pub use self::isolated::Namespace;
pub use self::puppets::PuppetNamespace;
