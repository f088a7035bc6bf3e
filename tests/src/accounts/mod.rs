//! The users of a control plane, their tokens and kubeconfigs, and clients that act as them.

mod account;
mod client;
mod tokens;

pub use self::account::TestAccount;
pub use self::client::client;
pub(crate) use self::tokens::Tokens;
