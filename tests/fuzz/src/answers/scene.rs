use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use handler_host_core::{
    ChildPolicy, ChildUpdate, Claimant, ConditionStatus, FieldTypes, Grant, HandlerEvent,
    KeptChild, Key, Kind, Limits, Object, OnParentDelete, ParentCondition, Readiness,
    RequeueRequest, Response, Schemas, Scope, Severity, StatusAnswer,
};
use serde_json::{Value, json};

/// The schemas that the core's own tests use.
const SCHEMAS: &[u8] = include_bytes!("../../../../host/core/src/objects/field_types/things.json");
/// The kinds of children: apiVersion, kind, whether it has a namespace.
const KINDS: [(&str, &str, bool); 5] = [
    ("v1", "ConfigMap", true),
    ("v1", "Secret", true),
    ("tests.handler-host.dev/v1", "Thing", true),
    ("tests.handler-host.dev/v2", "Thing", true),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", false),
];
/// The handler.
pub(super) const HANDLER: &str = "evc";
/// The uid of the parent.
pub(super) const PARENT: &str = "parent-uid";

/// A parent, what is observed, and what its handler answers.
pub(super) struct Scene {
    pub(super) parent: Object,
    pub(super) grant: Grant,
    pub(super) response: Response,
    /// The objects that stand in the cluster, each name once.
    pub(super) observed: Vec<(Kind, Arc<Object>)>,
    /// A merge patch of what the API server makes of children that are applied, beside their metadata.
    pub(super) made: Value,
    /// The bytes of memory that there are for the answer.
    pub(super) room: usize,
}

impl Scene {
    /// Reads a scene. Each line begins with a word that says what the rest is:
    ///
    /// - `is`: words that say what the parent and its grant are, see [`parent`] and [`grant`]
    /// - `had JSON`: the parent's status
    /// - `seen JSON`: an object that stands in the cluster
    /// - `child JSON`, `keep KIND NAME`, `status JSON`, `condition TYPE REASON`, `event REASON MESSAGE`, `waiting MESSAGE`, `requeue MS`: the answer
    /// - `made JSON`: a merge patch of what the API server makes of children that are applied
    /// - `room BYTES`: the memory for the answer
    ///
    /// Lines that are none of these say nothing. None if a parent cannot have such a status.
    pub(super) fn read(text: &str) -> Option<Self> {
        let lines: Vec<_> = text.split('\n').map(split).collect();
        let of = |word: &str| {
            let lines = lines.iter().filter(move |(first, _)| *first == word);
            lines.map(|(_, rest)| *rest).collect::<Vec<_>>()
        };
        let words: Vec<_> = of("is").iter().flat_map(|rest| rest.split(' ')).collect();
        let grant = grant(&words);
        let parent = parent(&words, of("had").last().copied())?;
        let room = of("room").last().and_then(|bytes| bytes.parse().ok());
        let made = of("made")
            .last()
            .and_then(|made| serde_json::from_str(made).ok());
        let requeue = of("requeue").last().and_then(|delay| delay.parse().ok());
        let waiting = of("waiting").last().map(|message| (*message).to_owned());
        let response = Response {
            children: of("child").iter().map(|it| (*it).to_owned()).collect(),
            kept: of("keep").iter().map(|it| kept(it)).collect(),
            status: StatusAnswer {
                patch: of("status").last().map(|it| (*it).to_owned()),
                conditions: of("condition").iter().map(|it| condition(it)).collect(),
            },
            readiness: waiting.map_or(Readiness::Ready, Readiness::Waiting),
            events: of("event").iter().map(|it| event(it)).collect(),
            requeue: requeue.map(|delay| RequeueRequest::After(Duration::from_millis(delay))),
        };
        Some(Self {
            observed: observed(&of("seen"), &parent, &grant),
            parent,
            grant,
            response,
            made: made.unwrap_or_default(),
            room: room.unwrap_or(usize::MAX),
        })
    }
}

/// The first word, and the rest.
fn split(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}

fn kept(text: &str) -> KeptChild {
    let (kind, name) = split(text);
    let known = KINDS.iter().find(|(_, known, _)| *known == kind);
    KeptChild {
        api_version: known.map_or("v1", |(version, ..)| version).to_owned(),
        kind: kind.to_owned(),
        namespace: None,
        name: name.to_owned(),
    }
}

fn condition(text: &str) -> ParentCondition {
    let (type_, reason) = split(text);
    ParentCondition {
        type_: type_.to_owned(),
        status: ConditionStatus::True,
        reason: reason.to_owned(),
        message: String::new(),
    }
}

fn event(text: &str) -> HandlerEvent {
    let (reason, message) = split(text);
    HandlerEvent {
        severity: Severity::Normal,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

/// `orphan`: children outlive their parent. `recreate`: they are deleted and made again. `never`: they are left as they were made. `schemas`: the schema of Things is known. `tight`: the limits are low.
fn grant(words: &[&str]) -> Grant {
    static THINGS: LazyLock<Schemas> = LazyLock::new(|| Schemas::parse(SCHEMAS).unwrap());
    let is = |word: &str| words.contains(&word);
    let scope = |kind: &Kind| {
        let is_parent = kind.kind == "Parent";
        let is_namespaced = KINDS
            .iter()
            .any(|(_, name, has)| *name == kind.kind && *has);
        if is_namespaced || (is_parent && !is("cluster")) {
            Scope::Namespaced
        } else {
            Scope::Cluster
        }
    };
    let policies = KINDS
        .iter()
        .filter(|(_, _, has_namespace)| *has_namespace || is("cluster"));
    let policies = policies.map(|(api_version, kind, _)| ChildPolicy {
        kind: Kind::new(api_version, kind).unwrap(),
        on_parent_delete: if is("orphan") {
            OnParentDelete::Orphan
        } else {
            OnParentDelete::Delete
        },
        update: if is("recreate") {
            ChildUpdate::Recreate { max_unavailable: 1 }
        } else if is("never") {
            ChildUpdate::Never
        } else {
            ChildUpdate::InPlace
        },
    });
    let policies: Vec<_> = policies.collect();
    let limits = if is("tight") {
        Limits {
            children: 2,
            child_bytes: 256,
            status_bytes: 128,
            ..Limits::default()
        }
    } else {
        Limits::default()
    };
    let grant = Grant::new(HANDLER, &parent_kind(), &policies, limits, scope).unwrap();
    grant.with_field_types(|kind| match THINGS.of(kind) {
        Some(types) if is("schemas") => types,
        Some(_) | None => FieldTypes::default(),
    })
}

fn parent_kind() -> Kind {
    Kind::new("tests.handler-host.dev/v1", "Parent").unwrap()
}

/// `cluster`: it has no namespace. `deleting`, and `foreground`: it is being deleted, and all that it owns before it.
fn parent(words: &[&str], status: Option<&str>) -> Option<Object> {
    let is = |word: &str| words.contains(&word);
    let mut metadata = json!({"name": "p", "uid": PARENT});
    if !is("cluster") {
        metadata["namespace"] = json!("ns");
    }
    if is("deleting") || is("foreground") {
        metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    if is("foreground") {
        metadata["finalizers"] = json!(["foregroundDeletion"]);
    }
    let mut parent = json!({"metadata": metadata});
    if let Some(status) = status {
        parent["status"] = serde_json::from_str(status).ok()?;
    }
    Object::parse(&parent_kind(), &parent.to_string()).ok()
}

/// The objects of granted kinds. The API server knows each by one name, and serves it in all versions of its kind.
fn observed(texts: &[&str], parent: &Object, grant: &Grant) -> Vec<(Kind, Arc<Object>)> {
    let mut objects: BTreeMap<(String, String, Key), (Kind, Arc<Object>)> = BTreeMap::new();
    for text in texts {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        let text_of = |name: &str| value[name].as_str().unwrap_or_default();
        let Ok(kind) = Kind::new(text_of("apiVersion"), text_of("kind")) else {
            continue;
        };
        let (Some(_), Ok(object)) = (grant.child(&kind), Object::parse(&kind, text)) else {
            continue;
        };
        let id = (kind.group().to_owned(), kind.kind.clone(), object.key());
        objects.entry(id).or_insert((kind, Arc::new(object)));
    }
    // The host plans with the children of the parent only.
    let claimant = Claimant { parent, grant };
    let objects = objects.into_values();
    objects
        .filter(|(kind, object)| claimant.owns(kind, object))
        .collect()
}
