use std::fmt;

use serde_json::Value;

use crate::{Digest, FieldTypes, Key, Kind};

/// The children of one parent at a stage. Only `Children<Checked>` can be planned and applied, and only
/// [`check`](crate::check) makes them.
#[derive(Clone, Debug)]
pub struct Children<Stage> {
    pub(crate) children: Vec<Stage>,
    /// The observed children that stay as they are.
    pub(crate) kept: Vec<ChildRef>,
}

/// A child as the handler returned it, as JSON text that is not trusted.
#[derive(Clone, Debug)]
pub struct Desired(pub(crate) String);

/// A child within the grant, completed by the host.
#[derive(Clone, Debug)]
pub struct Checked(pub(crate) Child);

/// A child to apply.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: Key,
    /// The whole object to apply.
    pub body: Value,
    /// The digest of `body` without the annotation that carries this digest.
    pub digest: Digest,
    /// Bytes of `body` as JSON text, about.
    pub bytes: usize,
    /// What the schema says about the fields of its kind.
    pub field_types: FieldTypes,
}

/// The name of a child: kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: Key,
}

impl Child {
    /// The child's kind and key.
    #[must_use]
    pub fn name(&self) -> ChildRef {
        ChildRef {
            kind: self.kind.clone(),
            key: self.key.clone(),
        }
    }
}

impl ChildRef {
    /// Whether both name the same object, in whatever versions of its kind.
    #[must_use]
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.key == other.key && self.kind.is_same_kind(&other.kind)
    }
}

impl fmt::Display for ChildRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.kind, self.key.name)
    }
}

impl Children<Desired> {
    /// What a handler returned.
    #[must_use]
    pub fn desired(texts: Vec<String>) -> Self {
        Self {
            children: texts.into_iter().map(Desired).collect(),
            kept: Vec::new(),
        }
    }
}

impl Children<Checked> {
    /// The children in the handler's order.
    pub fn iter(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().map(|Checked(child)| child)
    }

    /// The children in short, in the order of their names. They are the same children where these are equal.
    #[must_use]
    pub fn digests(&self) -> Vec<(ChildRef, Digest)> {
        // What stays as it is has no content that could differ.
        let kept = self.kept.iter().map(|it| (it.clone(), Digest::of(b"")));
        let desired = self.iter().map(|child| (child.name(), child.digest));
        let mut digests: Vec<_> = desired.chain(kept).collect();
        digests.sort_by(|(one, _), (other, _)| one.cmp(other));
        digests
    }

    /// How many there are, with those that stay as they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.len() + self.kept.len()
    }

    /// Whether none is desired, and none stays.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
