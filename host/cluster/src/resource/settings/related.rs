use handler_host_core::{RelatedPlaces, RelatedPolicy};

use super::kind;
use super::selection::selector;
use crate::resource::error::{MOST_RELATED, SettingsError};
use crate::resource::related::RelatedSpec;
use crate::resource::rules;

/// What stands for all namespaces.
const ALL: &str = "*";

/// What a handler may see beside parents and children.
pub(super) fn related(specs: &[RelatedSpec]) -> Result<Vec<RelatedPolicy>, SettingsError> {
    if specs.len() > MOST_RELATED {
        return Err(SettingsError::Related(specs.len()));
    }
    let policies = specs.iter().enumerate();
    policies
        .map(|(index, spec)| policy(&format!("spec.related[{index}]"), spec))
        .collect()
}

fn policy(field: &str, spec: &RelatedSpec) -> Result<RelatedPolicy, SettingsError> {
    let kind = kind(field, &spec.api_version, &spec.kind)?;
    let places = match spec.namespaces.as_slice() {
        [] => RelatedPlaces::Parents,
        [all] if all == ALL => RelatedPlaces::Everywhere,
        namespaces => {
            if let Some(odd) = namespaces.iter().find(|it| !rules::is_namespace(it)) {
                return Err(SettingsError::Namespace {
                    field: format!("{field}.namespaces"),
                    value: odd.clone(),
                });
            }
            RelatedPlaces::Namespaces(namespaces.to_vec())
        }
    };
    if let Some(odd) = spec.names.iter().find(|it| !rules::is_object_name(it)) {
        return Err(SettingsError::ObjectName {
            field: format!("{field}.names"),
            value: odd.clone(),
        });
    }
    let labels = selector(
        &format!("{field}.labelSelector"),
        spec.label_selector.as_ref(),
    )?;
    let policy = RelatedPolicy {
        kind,
        places,
        names: spec.names.clone(),
        labels,
    };
    if is_every_secret(&policy) && !spec.allow_all {
        return Err(SettingsError::AllSecrets(field.to_owned()));
    }
    Ok(policy)
}

/// Whether nothing limits which Secrets are seen.
fn is_every_secret(policy: &RelatedPolicy) -> bool {
    let is_secret = policy.kind.group().is_empty() && policy.kind.kind == "Secret";
    let is_anywhere = match &policy.places {
        RelatedPlaces::Parents | RelatedPlaces::Everywhere => true,
        RelatedPlaces::Namespaces(_) => false,
    };
    is_secret && is_anywhere && policy.names.is_empty() && policy.labels.is_empty()
}
