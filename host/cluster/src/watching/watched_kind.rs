use std::sync::Arc;

use super::cache::Cache;
use super::object_memory::HandlerObjects;
use crate::api::ServedKind;

/// The kind of the parents, or one kind of children: how it is served, and the cache of its objects.
pub(crate) struct WatchedKind {
    pub(crate) served: ServedKind,
    pub(crate) cache: Arc<Cache>,
}

impl WatchedKind {
    /// A kind whose objects take of this memory.
    pub(crate) fn new(served: ServedKind, memory: &Arc<HandlerObjects>) -> Self {
        Self {
            served,
            cache: Arc::new(Cache::new(memory.clone())),
        }
    }
}
