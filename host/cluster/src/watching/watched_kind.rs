use std::sync::Arc;

use super::cache::Cache;
use crate::api::ServedKind;

/// One kind of parents or children: how to reach it, and what is known of it.
pub(crate) struct WatchedKind {
    pub(crate) served: ServedKind,
    pub(crate) cache: Arc<Cache>,
}

impl WatchedKind {
    pub(crate) fn new(served: ServedKind) -> Self {
        Self {
            served,
            cache: Arc::default(),
        }
    }
}
