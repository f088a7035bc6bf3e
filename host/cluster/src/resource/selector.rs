use std::collections::BTreeMap;

use handler_host_core::{LabelSelector, Operator, Requirement, SelectorError};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::rules::{self, pattern};

/// A label selector, as Kubernetes has it: all of it has to be met. An empty one matches everything.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelectorSpec {
    /// The labels with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "match_labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements of labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<RequirementSpec>,
}

fn match_labels(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": pattern::LABEL_VALUE},
    })
}

/// What a label has to be.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = rules::requirement())]
pub struct RequirementSpec {
    /// The key of the label.
    #[schemars(length(max = 317), regex(pattern = pattern::LABEL_KEY))]
    pub key: String,
    /// How it is compared.
    pub operator: OperatorSpec,
    /// The values, for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63), regex(pattern = pattern::LABEL_VALUE)))]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorSpec {
    /// The label has one of the values.
    In,
    /// The label has none of the values. An object without the label matches.
    NotIn,
    /// The object has the label.
    Exists,
    /// The object has no such label.
    DoesNotExist,
}

impl From<OperatorSpec> for Operator {
    fn from(operator: OperatorSpec) -> Self {
        match operator {
            OperatorSpec::In => Self::In,
            OperatorSpec::NotIn => Self::NotIn,
            OperatorSpec::Exists => Self::Exists,
            OperatorSpec::DoesNotExist => Self::DoesNotExist,
        }
    }
}

impl TryFrom<&LabelSelectorSpec> for LabelSelector {
    type Error = SelectorError;

    fn try_from(spec: &LabelSelectorSpec) -> Result<Self, SelectorError> {
        let labels = spec.match_labels.iter();
        let labels =
            labels.map(|(key, value)| Requirement::new(key, Operator::In, [value.clone()]));
        let expressions = spec.match_expressions.iter().map(|expression| {
            let values = expression.values.iter().cloned();
            Requirement::new(&expression.key, expression.operator.into(), values)
        });
        Self::new(labels.chain(expressions).collect::<Result<Vec<_>, _>>()?)
    }
}
