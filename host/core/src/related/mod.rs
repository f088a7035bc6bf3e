//! Related objects: other objects than its children that a handler's answer for a parent depends on.

mod index;
mod policy;
mod query;
mod selector;

pub use self::index::QueryIndex;
pub use self::policy::{RelatedGrant, RelatedPlaces, RelatedPolicy, RelatedScope};
pub use self::query::{
    GrantedQuery, Place, Query, Selection, answers_among, check_queries, check_related,
};
pub use self::selector::{LabelSelector, Operator, Requirement, SelectorError};
