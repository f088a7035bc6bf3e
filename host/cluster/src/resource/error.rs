use handler_host_core::{AccountError, DigestError, Kind, KindError, SelectorError};

use super::rules::ALL_SECRETS;

/// How many kinds of children a handler may have.
pub(super) const MOST_KINDS: usize = 32;
/// How many children a parent may be granted.
pub(super) const MOST_CHILDREN: i32 = 1000;

/// How many entries of related objects a handler may have.
pub(super) const MOST_RELATED: usize = 32;
/// How many related objects a handler may be granted at once.
pub(super) const MOST_RELATED_OBJECTS: i32 = 10_000;

/// Why a Handler cannot be served.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// The name cannot be part of a label and a field manager.
    #[error(
        "metadata.name {0:?} is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as evc"
    )]
    Name(String),
    /// No source of the module is given.
    #[error("spec.module names no source; give one of path, configMap and image")]
    NoSource,
    /// Several sources of the module are given.
    #[error("spec.module names {0}; give exactly one of path, configMap and image")]
    Sources(String),
    /// A field for images is given without an image.
    #[error("spec.module.{0} is for images only; drop it, or give spec.module.image")]
    ImageOnly(&'static str),
    /// A field is empty that must not be.
    #[error("{0} is empty; fill it in")]
    Empty(&'static str),
    /// The image is no full reference.
    #[error(
        "spec.module.image {0:?} does not name registry, repository, and tag or digest; write it as registry.example/evc:1 or registry.example/evc@sha256:…"
    )]
    Image(String),
    /// A text is no digest.
    #[error("{field} {error}")]
    Digest {
        /// The field or annotation.
        field: String,
        /// What is wrong with it.
        error: DigestError,
    },
    /// A kind is not valid.
    #[error("{field}: {error}")]
    Kind {
        /// The field.
        field: String,
        /// What is wrong with it.
        error: KindError,
    },
    /// More kinds of children than a handler may have.
    #[error("spec.children names {0} kinds, the most is {MOST_KINDS}; split the handler")]
    Kinds(usize),
    /// A kind of children is named twice.
    #[error("spec.children names {0} twice; name each kind once")]
    Twice(Kind),
    /// The kind of the parent is named as a kind of children.
    #[error(
        "spec.children names {0}, the kind of the parent, and the handler would call itself for ever; drop that child"
    )]
    ParentAsChild(Kind),
    /// A text is no amount, or the amount is out of bounds.
    #[error("{field} {value:?} is no {form} of {least} to {most}; write it as {example}")]
    Amount {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        form: &'static str,
        /// The least it may be.
        least: &'static str,
        /// The most it may be.
        most: &'static str,
        /// An allowed value.
        example: &'static str,
    },
    /// The number of children is out of bounds.
    #[error("spec.limits.children {0} is not within 0 to {MOST_CHILDREN}; write it as 100")]
    Children(i32),
    /// A namespace that is excluded could not exist.
    #[error(
        "spec.parent.excludedNamespaces has {0:?}, which is no DNS label; use a-z, 0-9 and `-`, such as kube-system"
    )]
    ExcludedNamespace(String),
    /// No condition could be of this type.
    #[error(
        "spec.parent.condition {0:?} is no type of a condition; write one in CamelCase, such as Synced or example.com/Synced"
    )]
    Condition(String),
    /// The number of children that may be missing is out of bounds.
    #[error("{field}.maxUnavailable {count} is not within 1 to {MOST_CHILDREN}; write it as 1")]
    MaxUnavailable {
        /// The entry.
        field: String,
        /// What it has.
        count: i32,
    },
    /// A field for children that are made again is given for others.
    #[error("{0}.maxUnavailable is for update: Recreate only; drop it, or write that")]
    RecreateOnly(String),
    /// The number of related objects is out of bounds.
    #[error("spec.limits.related {0} is not within 0 to {MOST_RELATED_OBJECTS}; write it as 1000")]
    RelatedObjects(i32),
    /// More entries of related objects than a handler may have.
    #[error("spec.related has {0} entries, the most is {MOST_RELATED}; split the handler")]
    Related(usize),
    /// A text is no name of a namespace.
    #[error(
        "{field} has {value:?}, which is no DNS label; use a-z, 0-9 and `-`, such as team-a, or only \"*\" for all namespaces"
    )]
    Namespace {
        /// The field.
        field: String,
        /// What it has.
        value: String,
    },
    /// A text is no name of an object.
    #[error(
        "{field} has {value:?}, which no object can have as its name; use at most 253 letters, digits, `-`, `.`, `_` and `:`"
    )]
    ObjectName {
        /// The field.
        field: String,
        /// What it has.
        value: String,
    },
    /// A selector matches no labels.
    #[error("{field}: {error}")]
    Selector {
        /// The field.
        field: String,
        /// What is wrong with it.
        error: SelectorError,
    },
    /// Nothing limits which Secrets a handler sees.
    #[error("{0} {ALL_SECRETS}")]
    AllSecrets(String),
    /// The service account is not valid.
    #[error("spec.serviceAccount: {0}")]
    Account(#[from] AccountError),
    /// The ratio is out of bounds.
    #[error("spec.rollout.maxFailureRatio {0} is not within 0 to 1; write it as 0.5")]
    Ratio(f64),
    /// The spec cannot be written as JSON, so its digest is unknown.
    #[error("spec cannot be written as JSON ({0}); write it anew")]
    Json(String),
}
