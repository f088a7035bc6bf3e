use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use handler_host_core::{Kind, Object};

/// The input of a call: what the handler saw of a parent, its children and related objects, and the module that was called.
/// If it is still the same, nothing is to be done: neither a request nor a call. The time of day is no news.
///
/// The host's own writes to children are a new input, so that the handler sees what came of them. What the host itself
/// wrote into the parent's status is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    module: u64,
    parent: u64,
    status: u64,
    children: u64,
    related: u64,
}

impl Fingerprint {
    /// What is observed. `module` differs where module, config or limits do, and `related` where related objects do.
    pub(crate) fn of(
        module: u64,
        parent: &Object,
        children: &[(Kind, Arc<Object>)],
        related: u64,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        for (kind, child) in children {
            (kind, child.content_hash(), child.status_hash()).hash(&mut hasher);
        }
        Self {
            module,
            parent: parent.content_hash(),
            status: parent.status_hash(),
            children: hasher.finish(),
            related,
        }
    }

    /// Notes that the host wrote the status of the parent that it had seen as `before`. A parent that was changed
    /// otherwise too is a new input.
    pub(crate) fn wrote_status(&mut self, before: &Object, after: &Object) {
        if self.status == before.status_hash() {
            self.status = after.status_hash();
        }
    }

    /// A hash of the module and the parent, without its children.
    pub(crate) fn of_parent(module: u64, parent: &Object) -> u64 {
        let mut hasher = DefaultHasher::new();
        (module, parent.content_hash()).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, version: u32, spec: u32, status: u32) -> Arc<Object> {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","uid":"u","resourceVersion":"{version}"}},"spec":{spec},"status":{status}}}"#
        );
        Arc::new(Object::parse(&kind(), &text).unwrap())
    }

    fn kind() -> Kind {
        Kind::new("v1", "ConfigMap").unwrap()
    }

    #[test]
    fn the_status_that_the_host_wrote_is_no_news() {
        let mut seen = Fingerprint::of(1, &object("p", 1, 1, 1), &[], 0);
        seen.wrote_status(&object("p", 1, 1, 1), &object("p", 2, 1, 2));
        assert_eq!(seen, Fingerprint::of(1, &object("p", 2, 1, 2), &[], 0));
    }

    #[test]
    fn what_others_wrote_at_the_same_time_is_news() {
        let mut seen = Fingerprint::of(1, &object("p", 1, 1, 1), &[], 0);
        seen.wrote_status(&object("p", 1, 1, 1), &object("p", 3, 2, 2));
        assert_ne!(seen, Fingerprint::of(1, &object("p", 3, 2, 2), &[], 0));
        let mut seen = Fingerprint::of(1, &object("p", 1, 1, 1), &[], 0);
        seen.wrote_status(&object("p", 2, 1, 5), &object("p", 3, 1, 6));
        assert_ne!(seen, Fingerprint::of(1, &object("p", 3, 1, 6), &[], 0));
    }

    #[test]
    fn content_is_news_and_a_version_is_none() {
        let child = |version, spec, status| [(kind(), object("a", version, spec, status))];
        let parent = object("p", 1, 1, 1);
        let seen = Fingerprint::of(1, &parent, &child(1, 1, 1), 0);
        assert_eq!(
            seen,
            Fingerprint::of(1, &object("p", 2, 1, 1), &child(2, 1, 1), 0)
        );
        for other in [
            Fingerprint::of(2, &parent, &child(1, 1, 1), 0),
            Fingerprint::of(1, &object("p", 2, 2, 1), &child(1, 1, 1), 0),
            Fingerprint::of(1, &object("p", 2, 1, 2), &child(1, 1, 1), 0),
            Fingerprint::of(1, &parent, &child(2, 2, 1), 0),
            Fingerprint::of(1, &parent, &child(2, 1, 2), 0),
            Fingerprint::of(1, &parent, &[], 0),
            Fingerprint::of(1, &parent, &child(1, 1, 1), 1),
        ] {
            assert_ne!(seen, other);
        }
    }
}
