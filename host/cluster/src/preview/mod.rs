//! Previews: what a module would do, found out by dry runs.

mod candidate;
mod dry_run;
mod error;
mod lists;

pub use self::candidate::{Candidate, PREVIEW_CALLS, PreviewProgress, preview};
pub use self::error::PreviewError;
