use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, pattern};
use super::selector::LabelSelectorSpec;

/// Objects that a handler may see beside its parents and children.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::all_secrets())]
pub struct RelatedSpec {
    /// `v1` for the core group, else `group/version`.
    #[schemars(length(max = 317))]
    #[x_kube(validation = rules::api_version())]
    pub api_version: String,
    /// Singular, as objects write it: `ConfigMap`.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rules::kind())]
    pub kind: String,
    /// Their namespaces; `["*"]` for all. If there are none: the namespace of the parent that the handler is called for, or all
    /// namespaces if the parents are cluster-scoped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63), regex(pattern = pattern::NAMESPACE)))]
    #[x_kube(validation = rules::namespaces())]
    pub namespaces: Vec<String>,
    /// Their names. If there are none: any name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 253), regex(pattern = pattern::OBJECT_NAME)))]
    pub names: Vec<String>,
    /// Their labels. If not given: any labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LabelSelectorSpec")]
    pub label_selector: Option<LabelSelectorSpec>,
    /// Whether Secrets may be seen without a name, a namespace and a label selector. It says nothing for other kinds.
    #[serde(default)]
    pub allow_all: bool,
}
