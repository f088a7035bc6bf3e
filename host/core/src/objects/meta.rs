use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Deserializer;

/// The parts of `metadata` that decisions rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Unique within a namespace and kind.
    pub name: String,
    /// None for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Unique over the cluster's life.
    pub uid: String,
    /// Changes at every write.
    pub resource_version: String,
    /// Changes with the spec, where the kind has a status subresource.
    pub generation: Option<i64>,
    /// Labels.
    pub labels: Pairs,
    /// Annotations.
    pub annotations: Pairs,
    /// Owner references.
    #[serde(rename = "ownerReferences")]
    pub owners: Vec<Owner>,
    /// Finalizers.
    pub finalizers: Vec<String>,
    /// Set once deletion was asked for.
    pub deletion_timestamp: Option<String>,
    /// Who wrote to the object, the last one last.
    #[serde(skip)]
    pub writers: Box<[Writer]>,
}

impl Meta {
    /// The owner that is the controller.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        let mut owners = self.owners.iter();
        owners.find(|owner| owner.controller == Some(true))
    }

    /// Whether this field manager applied the object. What it never applied, such as a copy that somebody made, is not
    /// its work.
    #[must_use]
    pub fn is_applied_by(&self, manager: &str) -> bool {
        let mut writers = self.writers.iter();
        writers.any(|writer| writer.is_apply && *writer.manager == *manager)
    }

    /// The field manager other than this one that wrote last. Those that wrote only a subresource come after the others:
    /// most of them write the status and nothing else, but some write annotations by the way.
    #[must_use]
    pub fn last_writer_but(&self, manager: &str) -> Option<&str> {
        let mut last = None;
        for writer in self.writers.iter().rev() {
            if *writer.manager == *manager {
                continue;
            }
            if !writer.is_subresource {
                return Some(&*writer.manager);
            }
            last = last.or(Some(&*writer.manager));
        }
        last
    }
}

/// Labels or annotations. They are a list, since an object has only a handful of them: a tree of three entries would
/// take half a kilobyte for each of many objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Box<[(Box<str>, Box<str>)]>);

impl Pairs {
    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs
            .find(|(known, _)| **known == *name)
            .map(|(_, value)| &**value)
    }

    /// All names with their values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The bytes of all names and values.
    pub(super) fn bytes(&self) -> usize {
        let lengths = self.0.iter().map(|(name, value)| name.len() + value.len());
        lengths.sum()
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The API server leaves empty maps out, but a file for `render` may say null.
        let pairs = Option::<BTreeMap<Box<str>, Box<str>>>::deserialize(deserializer)?;
        Ok(Self(pairs.unwrap_or_default().into_iter().collect()))
    }
}

/// The parts of an owner reference that decisions and messages rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// The owner's uid.
    pub uid: String,
    /// The owner's kind.
    pub kind: Box<str>,
    /// The owner's name.
    pub name: Box<str>,
    /// Whether it is the controller, of which an object has at most one. Null is no.
    pub controller: Option<bool>,
}

/// A field manager that wrote to an object, as an entry of `managedFields` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The field manager.
    pub manager: Box<str>,
    /// Whether it wrote by server-side apply.
    pub is_apply: bool,
    /// Whether it wrote a subresource, such as the status.
    pub is_subresource: bool,
}

/// A resource version as a number. Resource versions are decimal numbers that grow with each write and are
/// comparable within a kind: documented since Kubernetes 1.35, true of every release before. A version that is
/// no number counts as the oldest.
#[must_use]
pub fn version_number(resource_version: &str) -> u128 {
    resource_version.parse().unwrap_or_default()
}
