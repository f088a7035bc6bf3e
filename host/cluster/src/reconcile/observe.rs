use std::sync::Arc;

use handler_host_core::{Kind, Object};

use crate::watching::WatchedKind;

/// The parent's children, in the order that the world promises.
pub(crate) fn observe(
    kinds: &[WatchedKind],
    parent: &Object,
    handler: &str,
) -> Vec<(Kind, Arc<Object>)> {
    let mut observed: Vec<(Kind, Arc<Object>)> = Vec::new();
    for kind in kinds {
        let found = kind.cache.children_of(&parent.meta.uid);
        let ours = found
            .into_iter()
            .filter(|child| child.is_child_of(parent, handler));
        observed.extend(ours.map(|child| (kind.served.kind.clone(), child)));
    }
    observed.sort_by_cached_key(|(kind, child)| (kind.clone(), child.key()));
    observed
}
