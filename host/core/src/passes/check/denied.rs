use crate::{Key, Kind};

/// A response outside the grant. Nothing of it is applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("handler `{handler}` {reason}")]
pub struct Denied {
    /// The handler.
    pub handler: String,
    /// The rule that was broken.
    pub reason: Box<DenyReason>,
}

/// The rules of a grant. Each message has the value that broke the rule, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its variant is")]
pub enum DenyReason {
    #[error("returned {count} children, its limit is {limit}; return fewer")]
    Count { count: usize, limit: usize },
    #[error("returned a child of {bytes} bytes, its limit is {limit}; make it smaller")]
    Size { bytes: usize, limit: usize },
    #[error(
        "returned a status patch of {bytes} bytes, its limit is {limit}; make it smaller, or give the handler a higher limits.statusSize"
    )]
    StatusSize { bytes: usize, limit: usize },
    #[error(
        "returned JSON that takes more than {} MiB of memory once it is parsed, such as lists of very many small values; return fewer values", .limit >> 20
    )]
    ParsedSize { limit: usize },
    #[error(
        "returned child {index}, which is no Kubernetes object in JSON ({rule}); return an object with apiVersion, kind and metadata.name"
    )]
    NotAnObject { index: usize, rule: String },
    #[error(
        "returned a status patch that is no JSON object ({rule}); return an object such as {{\"size\": \"1G\"}}"
    )]
    Status { rule: String },
    #[error("returned {count} conditions, its limit is {limit}; return fewer")]
    Conditions { count: usize, limit: usize },
    #[error("returned the condition {type_:?}, which {rule}")]
    Condition { type_: String, rule: &'static str },
    #[error(
        "failed with a status patch that takes more than {} KiB of memory once it is parsed; return fewer values", .limit >> 10
    )]
    FailureStatusSize { limit: usize },
    #[error(
        "may not apply {kind}, which it does not describe; let `describe` name it, or drop the child"
    )]
    Kind { kind: Kind },
    #[error(
        "returned {kind} with the name {name:?}, which cannot stand in a path; use at most 253 letters, digits, `-`, `.`, `_` and `:`"
    )]
    Name { kind: Kind, name: String },
    #[error(
        "keeps {kind} {key}, which is not among the parent's children; return it as a desired child, or drop it"
    )]
    KeptButMissing { kind: Kind, key: Key },
    #[error("returned {kind} {key} twice; return each child once")]
    Twice { kind: Kind, key: Key },
    #[error(
        "returned {kind} {name} in namespace {namespace:?}, its parent lives in {parent:?}; drop metadata.namespace"
    )]
    Namespace {
        kind: Kind,
        name: String,
        namespace: String,
        parent: String,
    },
    #[error(
        "returned {kind} {name} without a namespace for a cluster-scoped parent; set metadata.namespace"
    )]
    NoNamespace { kind: Kind, name: String },
    #[error(
        "returned {kind} {name} in namespace {namespace:?}, which is no DNS label; use at most 63 of a-z, 0-9 and `-`"
    )]
    NoSuchNamespace {
        kind: Kind,
        name: String,
        namespace: String,
    },
    #[error(
        "returned {kind} {name} in namespace {namespace:?}, which is the cluster's own; use another namespace"
    )]
    SystemNamespace {
        kind: Kind,
        name: String,
        namespace: String,
    },
    #[error(
        "returned Secret {name} of type {type_}, which the API server would fill with a token of an account; use another type"
    )]
    TokenSecret { name: String, type_: &'static str },
    #[error(
        "returned the cluster-scoped {kind} {name} with namespace {namespace:?}; drop metadata.namespace"
    )]
    ClusterScoped {
        kind: Kind,
        name: String,
        namespace: String,
    },
    #[error("returned {kind} {name} with `{field}`, which {whose}; drop it")]
    Field {
        kind: Kind,
        name: String,
        field: String,
        whose: &'static str,
    },
    #[error("asked {count} queries for related objects, its limit is {limit}; ask fewer")]
    Queries { count: usize, limit: usize },
    #[error(
        "may not see {kind}, which it does not describe as related; let `describe` name it, or drop the query"
    )]
    RelatedKind { kind: Kind },
    #[error(
        "asked for {kind} in the parent's namespace, but the parent is cluster-scoped; name a namespace in the query, or ask everywhere"
    )]
    NoParentNamespace { kind: Kind },
    #[error(
        "asked for {kind} in namespace {namespace:?}, which it is not granted; name that namespace in spec.related of the Handler, or drop the query"
    )]
    RelatedNamespace { kind: Kind, namespace: String },
    #[error(
        "asked for {kind} {name}, which it is not granted; add the name in spec.related of the Handler, or drop the query"
    )]
    RelatedName { kind: Kind, name: String },
    #[error(
        "asked for {count} objects, its limit is {limit}; ask for fewer, or give the handler a higher limits.related"
    )]
    RelatedCount { count: usize, limit: usize },
    #[error(
        "asked for objects of {bytes} bytes, its limit is {limit}; ask for fewer, or give the handler a higher limits.relatedSize"
    )]
    RelatedSize { bytes: usize, limit: usize },
}
