use handler_host_core::{LabelSelector, ParentSelection};

use crate::resource::error::SettingsError;
use crate::resource::rules;
use crate::resource::selector::LabelSelectorSpec;
use crate::resource::spec::ParentSpec;

/// Which parents a handler is called for.
pub(super) fn selection(spec: &ParentSpec) -> Result<ParentSelection, SettingsError> {
    let excluded = &spec.excluded_namespaces;
    if let Some(odd) = excluded.iter().find(|it| !rules::is_namespace(it)) {
        return Err(SettingsError::ExcludedNamespace(odd.clone()));
    }
    Ok(ParentSelection {
        labels: selector("spec.parent.labelSelector", spec.label_selector.as_ref())?,
        namespaces: selector(
            "spec.parent.namespaceSelector",
            spec.namespace_selector.as_ref(),
        )?,
        excluded_namespaces: excluded.clone(),
        on_unmatch: spec.on_parent_unmatch.into(),
    })
}

/// The selector of a field; one that is not given matches everything.
pub(super) fn selector(
    field: &str,
    spec: Option<&LabelSelectorSpec>,
) -> Result<LabelSelector, SettingsError> {
    let selector = spec.map(LabelSelector::try_from).transpose();
    let selector = selector.map_err(|error| SettingsError::Selector {
        field: field.to_owned(),
        error,
    })?;
    Ok(selector.unwrap_or_default())
}
