use std::sync::Arc;

use super::cache::Cache;
use crate::api::ServedKind;

/// The kind of the parents, or one kind of children: how it is served, and the cache of its objects.
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
