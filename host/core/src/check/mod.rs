use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::children::{Checked, Child, Children, Desired};
use crate::kind::is_dns_subdomain;
use crate::{
    APPLIED_ANNOTATION, ChildGrant, Digest, Grant, HANDLER_LABEL, HOST, Key, Kind,
    MANAGED_BY_LABEL, Object, OnParentDelete, PARENT_UID_LABEL, Scope,
};

/// A response outside the grant. Nothing of it is applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("handler `{handler}` {reason}")]
pub struct Denied {
    /// The handler.
    pub handler: String,
    /// The rule that was broken.
    pub reason: Box<DenyReason>,
}

/// The rules of the grant, each with the value that broke it and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its variant is")]
pub enum DenyReason {
    #[error("returned {count} children, its limit is {limit}; return fewer")]
    Count { count: usize, limit: usize },
    #[error("returned a child of {bytes} bytes, its limit is {limit}; make it smaller")]
    Size { bytes: usize, limit: usize },
    #[error(
        "returned child {index}, which is no Kubernetes object in JSON ({rule}); return an object with apiVersion, kind and metadata.name"
    )]
    NotAnObject { index: usize, rule: String },
    #[error(
        "returned a status patch that is no JSON object ({rule}); return an object such as {{\"size\": \"1G\"}}"
    )]
    Status { rule: String },
    #[error(
        "may not apply {kind}, which it does not describe; let `describe` name it, or drop the child"
    )]
    Kind { kind: Kind },
    #[error(
        "returned {kind} with the name {name:?}, which cannot stand in a path; use at most 253 letters, digits, `-`, `.`, `_` and `:`"
    )]
    Name { kind: Kind, name: String },
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
}

/// Fields of `metadata` that a handler does not decide, and whose they are.
const NOT_THE_HANDLERS: [(&str, &str); 10] = [
    ("ownerReferences", "the host sets"),
    ("finalizers", "could keep the child from being deleted"),
    ("generateName", "would name a new child at every call"),
    ("uid", "the API server sets"),
    ("resourceVersion", "the API server sets"),
    ("generation", "the API server sets"),
    ("creationTimestamp", "the API server sets"),
    ("deletionTimestamp", "the API server sets"),
    ("managedFields", "the API server sets"),
    ("selfLink", "the API server sets"),
];

/// Checks a response's children against the grant and adds what the host adds: namespace, owner
/// reference, labels, and the digest by which it later knows that nothing changed.
///
/// # Errors
///
/// At the first broken rule; then none of the children may be applied.
pub fn check(
    desired: Children<Desired>,
    parent: &Object,
    grant: &Grant,
) -> Result<Children<Checked>, Denied> {
    let denied = |reason| Denied {
        handler: grant.handler.clone(),
        reason: Box::new(reason),
    };
    let count = desired.children.len();
    let limit = grant.limits.children;
    if count > limit {
        return Err(denied(DenyReason::Count { count, limit }));
    }
    let mut seen = BTreeSet::new();
    let mut children = Vec::with_capacity(count);
    for (index, Desired(text)) in desired.children.into_iter().enumerate() {
        let child = check_one(index, &text, parent, grant).map_err(denied)?;
        if !seen.insert((child.kind.clone(), child.key.clone())) {
            let (kind, key) = (child.kind, child.key);
            return Err(denied(DenyReason::Twice { kind, key }));
        }
        children.push(Checked(child));
    }
    Ok(Children { children })
}

/// Checks a response's patch of the parent's status.
///
/// # Errors
///
/// When it is no JSON object.
pub fn check_status(
    patch: Option<&str>,
    grant: &Grant,
) -> Result<Option<Map<String, Value>>, Denied> {
    let fields = patch.map(serde_json::from_str).transpose();
    fields.map_err(|error| Denied {
        handler: grant.handler.clone(),
        reason: Box::new(DenyReason::Status {
            rule: error.to_string(),
        }),
    })
}

fn check_one(
    index: usize,
    text: &str,
    parent: &Object,
    grant: &Grant,
) -> Result<Child, DenyReason> {
    let (bytes, limit) = (text.len(), grant.limits.child_bytes);
    if bytes > limit {
        return Err(DenyReason::Size { bytes, limit });
    }
    let not_an_object = |rule: String| DenyReason::NotAnObject { index, rule };
    let mut body: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| not_an_object(error.to_string()))?;
    let kind = Kind::new(text_of(&body, "apiVersion"), text_of(&body, "kind"))
        .map_err(|error| not_an_object(error.to_string()))?;
    let Some(granted) = grant.child(&kind) else {
        return Err(DenyReason::Kind { kind });
    };
    let Some(Value::Object(mut metadata)) = body.remove("metadata") else {
        return Err(not_an_object("metadata is missing".to_owned()));
    };
    let name = text_of(&metadata, "name").to_owned();
    if !is_path_segment(&name) {
        return Err(DenyReason::Name { kind, name });
    }
    check_fields(&kind, &name, &body, &metadata)?;
    let namespace = namespace_of(granted, &name, &metadata, parent, grant.parent_scope)?;
    stamp(&mut metadata, namespace.as_deref(), parent, grant, granted)
        .map_err(|rule| not_an_object(rule.to_owned()))?;
    body.insert("metadata".to_owned(), Value::Object(metadata));
    let mut body = Value::Object(body);
    let digest = Digest::of(body.to_string().as_bytes());
    body["metadata"]["annotations"][APPLIED_ANNOTATION] = Value::String(digest.to_string());
    Ok(Child {
        key: Key::new(namespace.as_deref(), &name),
        on_parent_delete: granted.on_parent_delete,
        kind,
        body,
        digest,
    })
}

fn check_fields(
    kind: &Kind,
    name: &str,
    body: &Map<String, Value>,
    metadata: &Map<String, Value>,
) -> Result<(), DenyReason> {
    let refused = |field: String, whose| DenyReason::Field {
        kind: kind.clone(),
        name: name.to_owned(),
        field,
        whose,
    };
    if body.contains_key("status") {
        return Err(refused(
            "status".to_owned(),
            "belongs to the child's own controller",
        ));
    }
    for (field, whose) in NOT_THE_HANDLERS {
        if metadata.contains_key(field) {
            return Err(refused(format!("metadata.{field}"), whose));
        }
    }
    Ok(())
}

/// The namespace a child goes to; None for a cluster-scoped kind.
fn namespace_of(
    granted: &ChildGrant,
    name: &str,
    metadata: &Map<String, Value>,
    parent: &Object,
    parent_scope: Scope,
) -> Result<Option<String>, DenyReason> {
    let (kind, name) = (granted.kind.clone(), name.to_owned());
    let asked = text_of(metadata, "namespace").to_owned();
    match (granted.scope, parent_scope) {
        (Scope::Cluster, _) if asked.is_empty() => Ok(None),
        (Scope::Cluster, _) => Err(DenyReason::ClusterScoped {
            kind,
            name,
            namespace: asked,
        }),
        (Scope::Namespaced, Scope::Cluster) if asked.is_empty() => {
            Err(DenyReason::NoNamespace { kind, name })
        }
        (Scope::Namespaced, Scope::Cluster) if is_dns_label(&asked) => Ok(Some(asked)),
        (Scope::Namespaced, Scope::Cluster) => Err(DenyReason::NoSuchNamespace {
            kind,
            name,
            namespace: asked,
        }),
        (Scope::Namespaced, Scope::Namespaced) => {
            let own = parent.meta.namespace.clone().unwrap_or_default();
            if asked.is_empty() || asked == own {
                Ok(Some(own))
            } else {
                Err(DenyReason::Namespace {
                    kind,
                    name,
                    namespace: asked,
                    parent: own,
                })
            }
        }
    }
}

/// Adds what the host decides. Its labels win over the handler's: a handler that carries its parent's
/// labels over must not be refused because the parent is itself somebody's child.
fn stamp(
    metadata: &mut Map<String, Value>,
    namespace: Option<&str>,
    parent: &Object,
    grant: &Grant,
    granted: &ChildGrant,
) -> Result<(), &'static str> {
    if let Some(namespace) = namespace {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    let labels = text_map(metadata, "labels").ok_or("metadata.labels is not a map of strings")?;
    labels.insert(MANAGED_BY_LABEL.to_owned(), json!(HOST));
    labels.insert(HANDLER_LABEL.to_owned(), json!(grant.handler));
    labels.insert(PARENT_UID_LABEL.to_owned(), json!(parent.meta.uid));
    let annotations =
        text_map(metadata, "annotations").ok_or("metadata.annotations is not a map of strings")?;
    annotations.remove(APPLIED_ANNOTATION);
    match granted.on_parent_delete {
        OnParentDelete::Orphan => {}
        OnParentDelete::Delete => {
            let owner = json!([{
                "apiVersion": grant.parent.api_version,
                "kind": grant.parent.kind,
                "name": parent.meta.name,
                "uid": parent.meta.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }]);
            metadata.insert("ownerReferences".to_owned(), owner);
        }
    }
    Ok(())
}

/// Whether a name can stand in a path as it is: a `/`, `?` or `%` in it would turn a request into another.
/// Most kinds are stricter, but not all: `system:node` is a good name of a ClusterRole. What a kind asks for
/// beyond this, the API server says.
fn is_path_segment(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    (1..=253).contains(&name.len()) && !matches!(name, "." | "..") && name.bytes().all(is_plain)
}

fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && !name.contains('.') && is_dns_subdomain(name)
}

/// The map of strings at a field, made if missing or null; None if something else stands there.
fn text_map<'a>(
    metadata: &'a mut Map<String, Value>,
    field: &str,
) -> Option<&'a mut Map<String, Value>> {
    let value = metadata.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    let map = value.as_object_mut()?;
    map.values().all(Value::is_string).then_some(map)
}

fn text_of<'a>(object: &'a Map<String, Value>, field: &str) -> &'a str {
    object
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
