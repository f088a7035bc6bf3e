//! The API server as the rest of the crate sees it: requests, answers, errors, and the kinds that it serves.

mod clients;
mod discovery;
mod error;
mod events;
mod field_types;
mod pages;
mod problem_log;
mod received;
mod request;
mod request_layer;
mod restored;

pub use self::clients::ApiClients;
pub use self::discovery::NotServed;
pub(crate) use self::discovery::{ServedKind, find, missing, served, served_if_at_all};
pub(crate) use self::error::{ApiError, answered, answered_with_retries, watch_problem};
pub use self::error::{connection_problem, innermost_cause};
pub(crate) use self::events::publish;
pub(crate) use self::field_types::field_types;
pub(crate) use self::pages::list_pages;
pub(crate) use self::problem_log::ProblemLog;
pub(crate) use self::received::Received;
pub(crate) use self::request::{Expected, Requests};
pub use self::request_layer::{MeasuredService, RequestLayer};
pub(crate) use self::restored::{Restorations, watch_across_restorations};
