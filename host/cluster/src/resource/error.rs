use handler_host_core::{AccountError, DigestError, Kind, KindError};

/// How many kinds of children a handler may have.
pub(super) const MOST_KINDS: usize = 32;
/// How many children a parent may be granted.
pub(super) const MOST_CHILDREN: i32 = 1000;

/// Why a Handler cannot be served.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// The name cannot stand in a label and a field manager.
    #[error(
        "metadata.name {0:?} is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as evc"
    )]
    Name(String),
    /// The module comes from nowhere.
    #[error("spec.module names no source; give one of path, configMap and image")]
    NoSource,
    /// The module comes from several places.
    #[error("spec.module names {0}; give exactly one of path, configMap and image")]
    Sources(String),
    /// A field of images without an image.
    #[error("spec.module.{0} is for images only; drop it, or give spec.module.image")]
    ImageOnly(&'static str),
    /// A field that names something is empty.
    #[error("{0} is empty; fill it in")]
    Empty(&'static str),
    /// The image cannot be looked up.
    #[error(
        "spec.module.image {0:?} does not name registry, repository, and tag or digest; write it as registry.example/evc:1 or registry.example/evc@sha256:…"
    )]
    Image(String),
    /// A digest that is none.
    #[error("{field} {error}")]
    Digest {
        /// The field or annotation.
        field: String,
        /// What is wrong with it.
        error: DigestError,
    },
    /// A kind that no object could carry.
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
    /// A kind of children named twice.
    #[error("spec.children names {0} twice; name each kind once")]
    Twice(Kind),
    /// A handler of its own kind would call itself for ever.
    #[error(
        "spec.children names {0}, the kind of the parent, and the handler would call itself for ever; drop that child"
    )]
    ParentAsChild(Kind),
    /// An amount that is none, or out of bounds.
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
        /// One that will do.
        example: &'static str,
    },
    /// A number of children out of bounds.
    #[error("spec.limits.children {0} is not within 0 to {MOST_CHILDREN}; write it as 100")]
    Children(i32),
    /// An account that there can be none of.
    #[error("spec.serviceAccount: {0}")]
    Account(#[from] AccountError),
    /// A share that is none.
    #[error("spec.rollout.maxFailureRatio {0} is not within 0 to 1; write it as 0.5")]
    Ratio(f64),
    /// The spec cannot be written as JSON, so nobody could tell whether it changed.
    #[error("spec cannot be written as JSON ({0}); write it anew")]
    Json(String),
}
