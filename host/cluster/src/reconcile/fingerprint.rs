use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use handler_host_core::{Kind, Object};

/// The versions of a parent and its children that a pass left behind, and the module that it was made with. If they
/// are still the same, nothing is to be done: neither a request nor a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    module: u64,
    parent: VersionHash,
    children: Vec<(ChildHash, VersionHash)>,
}

/// A child, as the hash of its kind and key, since one is kept for every child of every parent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ChildHash(u64);

impl ChildHash {
    fn of(kind: &Kind, child: &Object) -> Self {
        let mut hasher = DefaultHasher::new();
        (kind, child.key()).hash(&mut hasher);
        Self(hasher.finish())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct VersionHash(u64);

impl VersionHash {
    fn of(object: &Object) -> Self {
        let mut hasher = DefaultHasher::new();
        object.meta.uid.hash(&mut hasher);
        object.meta.resource_version.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Fingerprint {
    /// The versions that were observed. `module` differs where module, config or limits do.
    pub(crate) fn of(module: u64, parent: &Object, children: &[(Kind, Arc<Object>)]) -> Self {
        let mut fingerprint = Self {
            module,
            parent: VersionHash::of(parent),
            children: Vec::with_capacity(children.len()),
        };
        for (kind, child) in children {
            fingerprint.applied(kind, child);
        }
        fingerprint
    }

    /// Notes that the parent was written, and its new version.
    pub(crate) fn wrote_parent(&mut self, parent: &Object) {
        self.parent = VersionHash::of(parent);
    }

    /// Whether the parent has the version of this fingerprint.
    pub(crate) fn is_of(&self, parent: &Object) -> bool {
        self.parent == VersionHash::of(parent)
    }

    /// Notes that a child was written, and its new version.
    pub(crate) fn applied(&mut self, kind: &Kind, child: &Object) {
        let name = ChildHash::of(kind, child);
        let version = VersionHash::of(child);
        match self
            .children
            .binary_search_by(|(known, _)| known.cmp(&name))
        {
            Ok(index) => {
                if let Some(entry) = self.children.get_mut(index) {
                    entry.1 = version;
                }
            }
            Err(index) => self.children.insert(index, (name, version)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, version: u32) -> Arc<Object> {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","uid":"u","resourceVersion":"{version}"}}}}"#
        );
        Arc::new(Object::parse(&kind(), &text).unwrap())
    }

    fn kind() -> Kind {
        Kind::new("v1", "ConfigMap").unwrap()
    }

    #[test]
    fn what_a_pass_wrote_itself_is_no_news_to_it() {
        let mut left = Fingerprint::of(1, &object("p", 1), &[(kind(), object("b", 1))]);
        left.applied(&kind(), &object("a", 2));
        left.applied(&kind(), &object("b", 3));
        left.wrote_parent(&object("p", 4));
        let seen = [(kind(), object("a", 2)), (kind(), object("b", 3))];
        assert_eq!(left, Fingerprint::of(1, &object("p", 4), &seen));
    }

    #[test]
    fn any_other_version_is_news() {
        let children = [(kind(), object("a", 1))];
        let seen = Fingerprint::of(1, &object("p", 1), &children);
        assert_ne!(seen, Fingerprint::of(1, &object("p", 2), &children));
        assert_ne!(
            seen,
            Fingerprint::of(1, &object("p", 1), &[(kind(), object("a", 2))])
        );
        assert_ne!(seen, Fingerprint::of(1, &object("p", 1), &[]));
        assert_ne!(seen, Fingerprint::of(2, &object("p", 1), &children));
    }
}
