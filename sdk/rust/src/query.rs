use crate::Kind;

/// Asks for objects that a parent's response depends on.
///
/// ```
/// use handler_sdk::{Kind, Query, Requirement};
///
/// let secret = || Kind::new("v1", "Secret");
/// Query::named(secret(), "ca").in_namespace("infra");
/// Query::labelled(secret(), [("app", "web")]);
/// Query::matching(secret(), [Requirement::exists("example.com/copy")]).everywhere();
/// Query::all(Kind::new("v1", "Node"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Query {
    /// Their kind.
    pub kind: Kind,
    /// Where they are. It says nothing for a cluster-scoped kind.
    pub place: Place,
    /// Which of them.
    pub selection: Selection,
}

/// Where the objects of a query are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the parent's namespace.
    ParentNamespace,
    /// In this namespace.
    Namespace(String),
    /// Wherever the administrator lets the handler see them.
    Everywhere,
}

/// Which of the objects at a place a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The one of this name.
    Name(String),
    /// Those whose labels meet all of these requirements.
    Labels(Vec<Requirement>),
    /// All of them.
    All,
}

/// What a label has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The key of the label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// The values that it is compared with.
    pub values: Vec<String>,
}

/// How a label is compared, as in Kubernetes' label selectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label has none of the values. An object without the label matches.
    NotIn,
    /// The object has the label.
    Exists,
    /// The object has no such label.
    DoesNotExist,
}

impl Query {
    /// The object of this name in the parent's namespace.
    pub fn named(kind: Kind, name: impl Into<String>) -> Self {
        Self::new(kind, Selection::Name(name.into()))
    }

    /// The objects in the parent's namespace that have all of these labels.
    pub fn labelled<K: Into<String>, V: Into<String>>(
        kind: Kind,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let labels = labels.into_iter();
        Self::matching(kind, labels.map(|(key, value)| Requirement::is(key, value)))
    }

    /// The objects in the parent's namespace whose labels meet all of these requirements.
    pub fn matching(kind: Kind, requirements: impl IntoIterator<Item = Requirement>) -> Self {
        Self::new(kind, Selection::Labels(requirements.into_iter().collect()))
    }

    /// All objects in the parent's namespace, or all objects of a cluster-scoped kind.
    pub fn all(kind: Kind) -> Self {
        Self::new(kind, Selection::All)
    }

    fn new(kind: Kind, selection: Selection) -> Self {
        Self {
            kind,
            place: Place::ParentNamespace,
            selection,
        }
    }

    /// In this namespace instead of the parent's.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.place = Place::Namespace(namespace.into());
        self
    }

    /// In every namespace where the administrator lets the handler see them.
    pub fn everywhere(mut self) -> Self {
        self.place = Place::Everywhere;
        self
    }
}

impl Requirement {
    /// The label has this value.
    pub fn is(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(key, Operator::In, [value])
    }

    /// The label has one of these values.
    pub fn is_in<V: Into<String>>(
        key: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::new(key, Operator::In, values)
    }

    /// The label has none of these values. An object without the label matches.
    pub fn is_not_in<V: Into<String>>(
        key: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::new(key, Operator::NotIn, values)
    }

    /// The object has the label.
    pub fn exists(key: impl Into<String>) -> Self {
        Self::new(key, Operator::Exists, [""; 0])
    }

    /// The object has no such label.
    pub fn does_not_exist(key: impl Into<String>) -> Self {
        Self::new(key, Operator::DoesNotExist, [""; 0])
    }

    fn new<V: Into<String>>(
        key: impl Into<String>,
        operator: Operator,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self {
            key: key.into(),
            operator,
            values: values.into_iter().map(Into::into).collect(),
        }
    }
}
