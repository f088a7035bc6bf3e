//! Handlers in the cluster: the watch of all of them, the status of each, and the rights of its account.

mod authorization;
mod finalizer;
mod status_reporter;
mod watch;

pub use self::authorization::{Authorization, Lack, Review};
pub use self::finalizer::{PARENTS_FINALIZER, hold_handler, release_parents};
pub use self::status_reporter::HandlerReporter;
pub use self::watch::{HandlerNews, watch_handlers};
