use std::sync::Arc;

use crate::{Kind, LabelSelector, Object};

/// Asks for objects that a handler's answer for a parent depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Their kind.
    pub kind: Kind,
    /// Where they are.
    pub place: Place,
    /// Which of them.
    pub selection: Selection,
}

/// Where the objects of a query are. It says nothing for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the parent's namespace.
    ParentNamespace,
    /// In this namespace.
    Namespace(String),
    /// Wherever the handler may see them.
    Everywhere,
}

/// Which of the objects at a place a query asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection {
    /// The one of this name.
    Name(String),
    /// Those with such labels.
    Labels(LabelSelector),
    /// All of them.
    All,
}

/// A query within the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedQuery {
    /// The kind.
    pub kind: Kind,
    /// The namespace; None for all, and for a cluster-scoped kind.
    pub namespace: Option<Arc<str>>,
    /// Which objects.
    pub selection: Selection,
}

impl GrantedQuery {
    /// Whether it asks for an object of its kind.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        let meta = &object.meta;
        let namespace = self.namespace.as_deref();
        (namespace.is_none() || namespace == meta.namespace.as_deref())
            && match &self.selection {
                Selection::Name(name) => *name == meta.name,
                Selection::Labels(labels) => labels.matches(&meta.labels),
                Selection::All => true,
            }
    }
}
