//! Related objects: other objects than its children that a handler's answer for a parent depends on. What it may see of them
//! is in the grant.

mod index;
mod query;

pub use self::index::QueryIndex;
pub use self::query::{GrantedQuery, Place, Query, Selection};
