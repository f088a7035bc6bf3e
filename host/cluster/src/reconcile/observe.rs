use std::sync::Arc;

use handler_host_core::{Claimant, Grant, Kind, Object};

use crate::watching::WatchedKind;

/// The parent's children, in the order that the world promises. A child whose kind is granted in several versions is
/// there once for each of them.
pub(crate) fn observe(
    kinds: &[WatchedKind],
    parent: &Object,
    grant: &Grant,
) -> Vec<(Kind, Arc<Object>)> {
    let claimant = Claimant { parent, grant };
    let mut observed: Vec<(Kind, Arc<Object>)> = Vec::new();
    for kind in kinds {
        let granted = &kind.served.kind;
        let found = kind.cache.children_of(&parent.meta.uid);
        let ours = found
            .into_iter()
            .filter(|child| claimant.owns(granted, child));
        observed.extend(ours.map(|child| (granted.clone(), child)));
    }
    observed.sort_by_cached_key(|(kind, child)| (kind.clone(), child.key()));
    observed
}

/// The observed children as a module sees them: each once, in the version that the module describes, or else in the
/// first one.
pub(crate) fn seen_by(
    described: &Grant,
    observed: &[(Kind, Arc<Object>)],
) -> Vec<(Kind, Arc<Object>)> {
    let mut seen: Vec<&(Kind, Arc<Object>)> = Vec::with_capacity(observed.len());
    for view in observed {
        let (kind, child) = view;
        // The views of a child stand apart in the list, and few kinds are granted twice.
        let is_same = |(known, other): &&(Kind, Arc<Object>)| {
            known.version() != kind.version()
                && known.is_same_kind(kind)
                && other.meta.uid == child.meta.uid
        };
        match seen.iter().position(is_same) {
            None => seen.push(view),
            Some(index) => {
                if let Some(known) = seen.get_mut(index)
                    && described.child(&known.0).is_none()
                    && described.child(kind).is_some()
                {
                    *known = view;
                }
            }
        }
    }
    seen.into_iter().cloned().collect()
}
