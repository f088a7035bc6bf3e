use serde::de::DeserializeOwned;

use crate::{Description, Failure, Query, Request, Response};

/// A handler decides which objects should exist for one object.
///
/// See the [crate's example](crate#example).
pub trait Handler {
    /// What the handler reads of its parent, usually `{metadata: Metadata, spec: Spec}`. A parent
    /// that does not parse is a permanent failure that says which field is wrong. For a field where
    /// the handler itself can say better what is wrong, use a [`serde_json::Value`].
    type Parent: DeserializeOwned;

    /// The handler's config; [`NoConfig`](crate::NoConfig) if it takes none. Let it refuse unknown fields
    /// (`#[serde(deny_unknown_fields)]`) and check its values while it parses
    /// (`#[serde(deserialize_with = "…")]`, `#[serde(try_from = "…")]`). The host does not activate a
    /// module with a config that does not parse.
    type Config: DeserializeOwned;

    /// Describes this handler. The host calls it when the module is loaded or its config changes.
    fn describe(config: &Self::Config) -> Description;

    /// Says which other objects the response for a parent depends on. The host passes them to
    /// [`reconcile`](Self::reconcile) as [`related`](Request::related), and calls that again when one of them changes,
    /// appears or goes. Every kind that is asked for has to be [described](Description::related).
    ///
    /// # Errors
    ///
    /// As those of [`reconcile`](Self::reconcile).
    fn related(parent: &Self::Parent, config: &Self::Config) -> Result<Vec<Query>, Failure> {
        let _ = (parent, config);
        Ok(Vec::new())
    }

    /// Decides what should exist for one parent.
    ///
    /// # Errors
    ///
    /// When no desired children can be given. The children that exist stay as they are.
    fn reconcile(request: Request<Self::Parent, Self::Config>) -> Result<Response, Failure>;
}
