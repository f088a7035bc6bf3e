use handler_host_core::{OnParentDelete, OnParentUnmatch, ParentStatus, READY};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::limits::LimitsSpec;
use super::related::RelatedSpec;
use super::rollout::RolloutSpec;
use super::rules::{self, pattern};
use super::selector::LabelSelectorSpec;
use super::source::ModuleSpec;
use super::status::HandlerStatus;

/// What a handler is: its module, what it may do, and how a new module takes over.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "handler-host.dev",
    version = "v1alpha1",
    kind = "Handler",
    plural = "handlers",
    category = "handler-host",
    status = "HandlerStatus",
    derive = "PartialEq",
    doc = "A handler and what it is granted: a WebAssembly component that says which children its parents shall have.",
    validation = Rule::new(
        "self.metadata.name.size() <= 48 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')"
    ).message(Message::Expression(
        // The API server names no field in the errors of rules about metadata.
        "'metadata.name \"' + self.metadata.name + '\" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as evc'".to_owned()
    )),
    printcolumn(name = "Parent", type_ = "string", json_path = ".spec.parent.kind", description = "The kind it is called for"),
    printcolumn(name = "Module", type_ = "string", json_path = ".status.module.shortDigest", description = "The module that serves: the first digits of its digest"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether it serves"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it does or does not"),
    printcolumn(name = "Module-Reason", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type==\"ModuleLoaded\")].reason", description = "Whether the module that the spec names could be loaded"),
    printcolumn(name = "Authorized", type_ = "string", priority = 1, json_path = ".status.conditions[?(@.type==\"Authorized\")].reason", description = "Whether its account may do all that serving takes"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
)]
#[x_kube(validation = Rule::new(
    // Versions of a kind are one kind, so the groups are compared: what stands before the slash, if there is one.
    "!self.children.exists(c, c.kind == self.parent.kind && (c.apiVersion.contains('/') \
     ? self.parent.apiVersion.startsWith(c.apiVersion.split('/')[0] + '/') : !self.parent.apiVersion.contains('/')))"
).message(
    "children must be of other kinds than the parent, or the handler would call itself for ever; drop that child"
).field_path(".children"))]
#[serde(rename_all = "camelCase")]
pub struct HandlerSpec {
    /// Where the module comes from.
    pub module: ModuleSpec,
    /// The kind it is called for.
    pub parent: ParentSpec,
    /// The kinds it may return; each once.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["apiVersion".into(), "kind".into()]))]
    pub children: Vec<ChildSpec>,
    /// Other objects that it may see. A kind may be there several times, with different limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub related: Vec<RelatedSpec>,
    /// The finest time of day that it may be told: 1s to 24h, to whose multiples the time is rounded down. If not given, it may
    /// not know the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 32))]
    #[x_kube(validation = rules::CLOCK.duration_rule())]
    pub clock: Option<String>,
    /// In whose name its parents and children are read and written. The host's own account, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ServiceAccountSpec")]
    pub service_account: Option<ServiceAccountSpec>,
    /// What the handler gets as its config.
    #[serde(default)]
    #[schemars(schema_with = "any_object")]
    pub config: Map<String, Value>,
    /// What one call may use, and how much it may return.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// How a new module takes over.
    #[serde(default)]
    pub rollout: RolloutSpec,
    /// Whether its parents are left alone: the handler is not called, and nothing of parents and children is written. What
    /// changes meanwhile is looked at when this is false again. For one parent, the annotation `handler-host.dev/paused: "true"`
    /// does the same.
    #[serde(default)]
    pub paused: bool,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A service account, which the host impersonates.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccountSpec {
    /// Its namespace.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rules::namespace())]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::account())]
    pub name: String,
}

/// The kind of a handler's parents.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentSpec {
    /// `v1` for the core group, else `group/version`.
    #[schemars(length(max = 317))]
    #[x_kube(validation = rules::api_version())]
    pub api_version: String,
    /// Singular, as objects write it: `ConfigMap`.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rules::kind())]
    pub kind: String,
    /// What is written into their status. If not given: `Conditions` for custom resources, and `None` for the kinds of
    /// Kubernetes itself, whose status has a controller of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ParentStatusPolicy")]
    pub status: Option<ParentStatusPolicy>,
    /// The type of the condition that says how a parent stands. Handlers of one kind of parent have different ones.
    #[serde(default = "ParentSpec::default_condition")]
    #[schemars(length(max = 316), regex(pattern = pattern::CONDITION))]
    pub condition: String,
    /// The labels of the objects that the handler is called for. If not given: any labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LabelSelectorSpec")]
    pub label_selector: Option<LabelSelectorSpec>,
    /// The labels of their namespaces, or their own, if the parents are Namespaces. If not given: any labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LabelSelectorSpec")]
    pub namespace_selector: Option<LabelSelectorSpec>,
    /// Namespaces whose objects the handler is not called for, or Namespaces that it is not called for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63), regex(pattern = pattern::NAMESPACE)))]
    pub excluded_namespaces: Vec<String>,
    /// What becomes of the children of an object that is selected no more.
    #[serde(default)]
    pub on_parent_unmatch: ParentUnmatch,
}

/// What becomes of the children of an object that is selected no more.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentUnmatch {
    /// They stay as they are.
    #[default]
    Keep,
    /// They are deleted.
    Delete,
}

impl From<ParentUnmatch> for OnParentUnmatch {
    fn from(what: ParentUnmatch) -> Self {
        match what {
            ParentUnmatch::Keep => Self::Keep,
            ParentUnmatch::Delete => Self::Delete,
        }
    }
}

impl ParentSpec {
    fn default_condition() -> String {
        READY.to_owned()
    }
}

/// What is written into the status of parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ParentStatusPolicy {
    /// The condition `Ready`, the handler's identity, and the status that the handler gives.
    Conditions,
    /// Nothing. Events, log and metrics tell the outcome.
    None,
}

impl From<ParentStatusPolicy> for ParentStatus {
    fn from(policy: ParentStatusPolicy) -> Self {
        match policy {
            ParentStatusPolicy::Conditions => Self::Conditions,
            ParentStatusPolicy::None => Self::Nothing,
        }
    }
}

/// A kind that a handler may return.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::recreate_only())]
pub struct ChildSpec {
    /// `v1` for the core group, else `group/version`.
    #[schemars(length(max = 317))]
    #[x_kube(validation = rules::api_version())]
    pub api_version: String,
    /// Singular, as objects write it: `ConfigMap`.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rules::kind())]
    pub kind: String,
    /// What becomes of such a child when its parent is deleted: it goes too, or stays.
    #[serde(default)]
    pub on_parent_delete: ParentDeletion,
    /// What becomes of such a child when the handler desires it otherwise.
    #[serde(default)]
    pub update: UpdateSpec,
    /// For `Recreate`: how many children of the kind one parent may lack at a time for that, those that it lacks anyway
    /// included. 1, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub max_unavailable: Option<i32>,
}

/// What becomes of a child when the handler desires it otherwise.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateSpec {
    /// It is changed.
    #[default]
    InPlace,
    /// It is deleted, and made again when it is gone.
    Recreate,
    /// It stays as it was made. One that is gone is made again.
    Never,
}

/// What becomes of a child when its parent is deleted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentDeletion {
    /// It goes too, by owner reference.
    #[default]
    Delete,
    /// It stays.
    Orphan,
}

impl From<ParentDeletion> for OnParentDelete {
    fn from(what: ParentDeletion) -> Self {
        match what {
            ParentDeletion::Delete => Self::Delete,
            ParentDeletion::Orphan => Self::Orphan,
        }
    }
}
