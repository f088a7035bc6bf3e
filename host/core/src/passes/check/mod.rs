mod denied;
mod stored_form;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

pub use self::denied::{Denied, DenyReason};
use super::children::{Checked, Child, ChildRef, Children, Desired};
use super::decision::StatusPatch;
use crate::objects::{is_dns_label, is_qualified_name, parsed_size};
use crate::{
    APPLIED_ANNOTATION, ChildGrant, Digest, Grant, HANDLER_LABEL, HOST, KeptChild, Key, Kind,
    Limits, MANAGED_BY_LABEL, Object, OnParentDelete, PARENT_UID_LABEL, ParentCondition, READY,
    Response, Scope, StatusAnswer, UNOWNED_ANNOTATION,
};

/// The fields of `metadata` that a handler may not set, and why.
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

/// The namespace of the cluster's own components. Whoever writes there may take the cluster over.
const SYSTEM_NAMESPACE: &str = "kube-system";
/// The type of Secrets that the API server fills with a token of a service account.
const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";

/// How many bytes of memory the values of one response may take, about, once they are parsed. The texts of a response are
/// bounded, but a text of many small values takes a hundred times its length.
const PARSED_BYTES: usize = 16 << 20;

/// The same for what a failure says of the status. No memory is held for it.
const PARSED_FAILURE_BYTES: usize = 64 << 10;

/// How many conditions a handler may give.
const CONDITIONS: usize = 32;

/// Checks how much a response holds before any of it is parsed. Gives the bytes of memory that it takes then, about; None if
/// that is more than `room`.
///
/// # Errors
///
/// At the first limit that is exceeded.
pub(crate) fn check_size(
    response: &Response,
    grant: &Grant,
    room: usize,
) -> Result<Option<usize>, Denied> {
    let denied = |reason| Denied {
        handler: grant.handler.clone(),
        reason: Box::new(reason),
    };
    check_limits(response, grant.limits).map_err(denied)?;
    let texts = response.bytes();
    let most = PARSED_BYTES.min(room.saturating_sub(texts));
    match parsed(response, most) {
        Some(bytes) => Ok(Some(texts + bytes)),
        None if most < PARSED_BYTES => Ok(None),
        None => Err(denied(DenyReason::ParsedSize { limit: most })),
    }
}

/// The memory that the values of a response take; None if it is more than `most`.
fn parsed(response: &Response, most: usize) -> Option<usize> {
    let mut left = most;
    let mut parse = |text: &str| {
        let bytes = match parsed_size(text, left) {
            Ok(bytes) => bytes,
            Err(None) => return None,
            // It is told where the text is parsed.
            Err(Some(_)) => 0,
        };
        left -= bytes;
        Some(())
    };
    for child in &response.children {
        parse(child)?;
    }
    if let Some(patch) = &response.status.patch {
        parse(patch)?;
    }
    Some(most - left)
}

fn check_limits(response: &Response, limits: Limits) -> Result<(), DenyReason> {
    let count = response.children.len() + response.kept.len();
    if count > limits.children {
        let limit = limits.children;
        return Err(DenyReason::Count { count, limit });
    }
    let limit = limits.child_bytes;
    let mut sizes = response.children.iter().map(String::len);
    if let Some(bytes) = sizes.find(|bytes| *bytes > limit) {
        return Err(DenyReason::Size { bytes, limit });
    }
    check_status_size(&response.status, limits)
}

fn check_status_size(status: &StatusAnswer, limits: Limits) -> Result<(), DenyReason> {
    let (bytes, limit) = (status.bytes(), limits.status_bytes);
    if bytes > limit {
        return Err(DenyReason::StatusSize { bytes, limit });
    }
    Ok(())
}

/// Checks the children of a response against the grant, and adds namespace, owner reference, labels, and the digest by
/// which the host later knows that nothing changed.
///
/// # Errors
///
/// At the first rule that is broken. None of the children may be applied then.
pub(crate) fn check(
    desired: Children<Desired>,
    kept: &[KeptChild],
    observed: &[(Kind, Arc<Object>)],
    parent: &Object,
    grant: &Grant,
) -> Result<Children<Checked>, Denied> {
    let denied = |reason| Denied {
        handler: grant.handler.clone(),
        reason: Box::new(reason),
    };
    let mut seen = BTreeSet::new();
    let mut children = Vec::with_capacity(desired.children.len());
    for (index, Desired(text)) in desired.children.into_iter().enumerate() {
        let child = check_one(index, &text, parent, grant).map_err(denied)?;
        let object = (child.kind.group().to_owned(), child.kind.kind.clone());
        if !seen.insert((object, child.key.clone())) {
            let (kind, key) = (child.kind, child.key);
            return Err(denied(DenyReason::Twice { kind, key }));
        }
        children.push(Checked(child));
    }
    let mut stay = Vec::with_capacity(kept.len());
    for kept in kept {
        let child = check_kept(kept, observed, parent, grant).map_err(denied)?;
        let object = (child.kind.group().to_owned(), child.kind.kind.clone());
        if !seen.insert((object, child.key.clone())) {
            let ChildRef { kind, key } = child;
            return Err(denied(DenyReason::Twice { kind, key }));
        }
        stay.push(child);
    }
    Ok(Children {
        children,
        kept: stay,
    })
}

/// A child that is to stay as it is has to be there.
fn check_kept(
    kept: &KeptChild,
    observed: &[(Kind, Arc<Object>)],
    parent: &Object,
    grant: &Grant,
) -> Result<ChildRef, DenyReason> {
    let kind = Kind {
        api_version: kept.api_version.clone(),
        kind: kept.kind.clone(),
    };
    let Some(granted) = grant.child(&kind) else {
        return Err(DenyReason::Kind { kind });
    };
    let namespace = match granted.scope {
        Scope::Cluster => None,
        Scope::Namespaced => kept.namespace.as_ref().or(parent.meta.namespace.as_ref()),
    };
    let key = Key::new(namespace.map(String::as_str), &kept.name);
    let child = ChildRef { kind, key };
    let is_it = |(kind, object): &(Kind, Arc<Object>)| {
        kind.is_same_kind(&child.kind) && object.key() == child.key
    };
    if !observed.iter().any(is_it) {
        let ChildRef { kind, key } = child;
        return Err(DenyReason::KeptButMissing { kind, key });
    }
    Ok(child)
}

/// Checks what a response says of the parent's status. Its size was checked.
///
/// # Errors
///
/// When the patch is no JSON object, or a condition is none.
pub(crate) fn check_status(
    answer: &StatusAnswer,
    grant: &Grant,
) -> Result<Option<StatusPatch>, Denied> {
    let checked = check_types(answer, grant).and_then(|()| read_status(answer));
    checked.map_err(|reason| Denied {
        handler: grant.handler.clone(),
        reason: Box::new(reason),
    })
}

/// The host's conditions are not the handler's to give.
fn check_types(answer: &StatusAnswer, grant: &Grant) -> Result<(), DenyReason> {
    let mut conditions = answer.conditions.iter();
    match conditions.find(|it| it.type_ == READY || it.type_ == grant.condition) {
        Some(condition) => Err(DenyReason::Condition {
            type_: condition.type_.clone(),
            rule: "is the host's; give it another type, and say by `waiting` or a failure that the parent is not ready",
        }),
        None => Ok(()),
    }
}

/// Checks what a failure says of the parent's status.
///
/// # Errors
///
/// As for a response, and when it is too large.
pub(crate) fn check_failure(answer: &StatusAnswer, grant: &Grant) -> Result<(), Denied> {
    let check = || {
        check_status_size(answer, grant.limits)?;
        if let Some(patch) = &answer.patch
            && matches!(parsed_size(patch, PARSED_FAILURE_BYTES), Err(None))
        {
            let limit = PARSED_FAILURE_BYTES;
            return Err(DenyReason::FailureStatusSize { limit });
        }
        check_types(answer, grant)?;
        read_status(answer).map(|_| ())
    };
    check().map_err(|reason| Denied {
        handler: grant.handler.clone(),
        reason: Box::new(reason),
    })
}

/// Reads what a handler says of the parent's status; None if it says nothing.
pub(crate) fn read_status(answer: &StatusAnswer) -> Result<Option<StatusPatch>, DenyReason> {
    let StatusAnswer { patch, conditions } = answer;
    let count = conditions.len();
    if count > CONDITIONS {
        let limit = CONDITIONS;
        return Err(DenyReason::Conditions { count, limit });
    }
    for condition in conditions {
        check_condition(condition)?;
    }
    let fields = patch.as_deref().map(serde_json::from_str).transpose();
    let fields: Option<Map<String, Value>> = fields.map_err(|error| DenyReason::Status {
        rule: error.to_string(),
    })?;
    if fields.is_none() && conditions.is_empty() {
        return Ok(None);
    }
    let parsed = patch.as_deref().map(|it| parsed_size(it, usize::MAX));
    Ok(Some(StatusPatch {
        fields: fields.unwrap_or_default(),
        conditions: conditions.clone(),
        memory: answer.bytes() + parsed.and_then(Result::ok).unwrap_or_default(),
    }))
}

/// The rules of the API server for conditions.
fn check_condition(condition: &ParentCondition) -> Result<(), DenyReason> {
    let ParentCondition { type_, reason, .. } = condition;
    let is_reason_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_,:".contains(&byte);
    let is_reason = reason.starts_with(|it: char| it.is_ascii_alphabetic())
        && reason.ends_with(|it: char| it.is_ascii_alphanumeric() || it == '_')
        && reason.len() <= 1024
        && reason.bytes().all(is_reason_inner);
    let rule = if !is_qualified_name(type_) {
        "has no such type; write it in CamelCase, such as Synced"
    } else if !is_reason {
        "needs a reason in CamelCase, such as AllThere"
    } else {
        return Ok(());
    };
    Err(DenyReason::Condition {
        type_: type_.clone(),
        rule,
    })
}

fn check_one(
    index: usize,
    text: &str,
    parent: &Object,
    grant: &Grant,
) -> Result<Child, DenyReason> {
    let not_an_object = |rule: String| DenyReason::NotAnObject { index, rule };
    let mut body: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| not_an_object(error.to_string()))?;
    let kind = Kind::new(text_of(&body, "apiVersion"), text_of(&body, "kind"))
        .map_err(|error| not_an_object(error.to_string()))?;
    let Some(granted) = grant.child(&kind) else {
        return Err(DenyReason::Kind { kind });
    };
    stored_form::drop_what_says_nothing(&mut body, &granted.field_types);
    stored_form::merge_string_data(&kind, &mut body);
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
        kind,
        body,
        digest,
        bytes: text.len(),
        field_types: granted.field_types.clone(),
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
    if kind.group().is_empty() && kind.kind == "Secret" && text_of(body, "type") == TOKEN_TYPE {
        return Err(DenyReason::TokenSecret {
            name: name.to_owned(),
            type_: TOKEN_TYPE,
        });
    }
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
    let (kind, name) = (granted.policy.kind.clone(), name.to_owned());
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
        (Scope::Namespaced, Scope::Cluster) if asked == SYSTEM_NAMESPACE => {
            Err(DenyReason::SystemNamespace {
                kind,
                name,
                namespace: asked,
            })
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

/// Adds the fields that the host sets. Its labels replace those of the handler: a handler that copies its parent's labels
/// must not be refused because the parent is the child of another handler.
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
    annotations.remove(UNOWNED_ANNOTATION);
    match granted.policy.on_parent_delete {
        OnParentDelete::Orphan => {}
        // What the parent owns would be deleted as soon as it is made.
        OnParentDelete::Delete if parent.is_deleting_in_foreground() => {
            annotations.insert(UNOWNED_ANNOTATION.to_owned(), json!("true"));
        }
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

/// Whether a name can be part of a path: with a `/`, `?` or `%` in it, a request would become another one. Most kinds are
/// stricter, but not all: `system:node` is a valid name of a ClusterRole. The API server checks the rules of a kind.
fn is_path_segment(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    (1..=253).contains(&name.len()) && !matches!(name, "." | "..") && name.bytes().all(is_plain)
}

/// The map of strings at a field, which is created if it is missing or null. None if the field has another type.
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
