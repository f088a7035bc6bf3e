//! A control plane as tests see it, and ways to reach it: clients, a relay, a webhook, kubectl and a shell.

mod kubectl;
mod relay;
mod shared;
mod shell;
mod webhook;

pub use self::kubectl::kubectl;
pub use self::relay::Relay;
pub use self::shared::ControlPlane;
pub use self::shell::{follow_advice, shell};
pub use self::webhook::RefusingWebhook;
