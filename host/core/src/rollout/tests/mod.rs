//! The rollout as tables: what happens, and what the handler comes to by it. No cluster is needed, and no module.

mod approval;
mod every_order;
mod lease;
mod scenario;
mod spec;
mod swap;
mod trial;
