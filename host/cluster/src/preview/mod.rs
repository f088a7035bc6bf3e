//! What a module would do, found out without writing anything.

mod candidate;
mod dry_run;
mod error;
mod lists;
mod result;

pub use self::candidate::{Candidate, PREVIEW_CALLS, PreviewProgress, preview};
pub use self::error::PreviewError;
pub use self::result::{ChildChange, NewFailure, Preview};
