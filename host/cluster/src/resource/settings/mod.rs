use std::path::PathBuf;
use std::time::Duration;

use handler_host_core::{
    APPROVE_ANNOTATION, Account, CallLimits, ChildPolicy, ChildUpdate, Digest, Image, Kind, Limits,
    ModuleLocation, ModuleSource, RolloutPolicy, Settings, is_handler_name,
};
use serde_json::Value;

use super::error::{MOST_CHILDREN, MOST_KINDS, MOST_RELATED_OBJECTS, SettingsError};
use super::limits::LimitsSpec;
use super::rollout::RolloutSpec;
use super::source::{ConfigMapEntry, ModuleSpec};
use super::spec::{ChildSpec, Handler, HandlerSpec, ServiceAccountSpec, UpdateSpec};
use super::{image, rules};

mod related;
mod selection;

const POLL_INTERVAL: Duration = Duration::from_secs(60);

/// Checks everything that the rules of the CRD check, since a Handler from a file was never checked by the API server.
/// The maximal lengths, which only keep those rules cheap, are left out.
impl TryFrom<&Handler> for Settings {
    type Error = SettingsError;

    fn try_from(handler: &Handler) -> Result<Self, SettingsError> {
        let spec = &handler.spec;
        let name = handler.metadata.name.clone().unwrap_or_default();
        if !is_handler_name(&name) {
            return Err(SettingsError::Name(name));
        }
        let parent = kind("spec.parent", &spec.parent.api_version, &spec.parent.kind)?;
        // A pause is no other try of a module.
        let unpaused = HandlerSpec {
            paused: false,
            ..spec.clone()
        };
        // Maps of `serde_json` are sorted, so equal specs have equal texts.
        let text = serde_json::to_vec(&unpaused)
            .map_err(|error| SettingsError::Json(error.to_string()))?;
        Ok(Self {
            name,
            spec: Digest::of(&text),
            module: module_source(&spec.module)?,
            parent_status: spec.parent.status.map(Into::into),
            condition: condition(&spec.parent.condition)?,
            selection: selection::selection(&spec.parent)?,
            children: children(&spec.children, &parent)?,
            related: related::related(&spec.related)?,
            clock: spec.clock.as_deref().map(clock).transpose()?,
            parent,
            account: account(spec.service_account.as_ref())?,
            config: Value::Object(spec.config.clone()).to_string(),
            call_limits: call_limits(&spec.limits)?,
            limits: limits(&spec.limits)?,
            rollout: rollout(&spec.rollout)?,
            approved: approved(handler),
            is_paused: spec.paused,
        })
    }
}

fn kind(field: &str, api_version: &str, kind: &str) -> Result<Kind, SettingsError> {
    Kind::new(api_version, kind).map_err(|error| SettingsError::Kind {
        field: field.to_owned(),
        error,
    })
}

fn children(specs: &[ChildSpec], parent: &Kind) -> Result<Vec<ChildPolicy>, SettingsError> {
    if specs.len() > MOST_KINDS {
        return Err(SettingsError::Kinds(specs.len()));
    }
    let mut children: Vec<ChildPolicy> = Vec::with_capacity(specs.len());
    for (index, child) in specs.iter().enumerate() {
        let field = format!("spec.children[{index}]");
        let kind = kind(&field, &child.api_version, &child.kind)?;
        if kind.is_same_kind(parent) {
            return Err(SettingsError::ParentAsChild(kind));
        }
        if children.iter().any(|known| known.kind == kind) {
            return Err(SettingsError::Twice(kind));
        }
        children.push(ChildPolicy {
            kind,
            on_parent_delete: child.on_parent_delete.into(),
            update: update(&field, child)?,
        });
    }
    Ok(children)
}

fn update(field: &str, child: &ChildSpec) -> Result<ChildUpdate, SettingsError> {
    let out_of_bounds = |count| SettingsError::MaxUnavailable {
        field: field.to_owned(),
        count,
    };
    match (child.update, child.max_unavailable) {
        (UpdateSpec::InPlace, None) => Ok(ChildUpdate::InPlace),
        (UpdateSpec::Never, None) => Ok(ChildUpdate::Never),
        (UpdateSpec::InPlace | UpdateSpec::Never, Some(_)) => {
            Err(SettingsError::RecreateOnly(field.to_owned()))
        }
        (UpdateSpec::Recreate, given) => {
            let most = given.unwrap_or(1);
            let max_unavailable = usize::try_from(most).map_err(|_| out_of_bounds(most))?;
            if max_unavailable == 0 || most > MOST_CHILDREN {
                return Err(out_of_bounds(most));
            }
            Ok(ChildUpdate::Recreate { max_unavailable })
        }
    }
}

fn condition(type_: &str) -> Result<String, SettingsError> {
    if rules::is_condition(type_) {
        Ok(type_.to_owned())
    } else {
        Err(SettingsError::Condition(type_.to_owned()))
    }
}

fn clock(granularity: &str) -> Result<Duration, SettingsError> {
    rules::CLOCK.duration(granularity)
}

fn account(spec: Option<&ServiceAccountSpec>) -> Result<Option<Account>, SettingsError> {
    let account = spec.map(|spec| Account::new(&spec.namespace, &spec.name));
    Ok(account.transpose()?)
}

fn module_source(module: &ModuleSpec) -> Result<ModuleSource, SettingsError> {
    let digest = |text: &String| digest("spec.module.digest", text);
    Ok(ModuleSource {
        location: location(module)?,
        pinned: module.digest.as_ref().map(digest).transpose()?,
    })
}

fn digest(field: &str, text: &str) -> Result<Digest, SettingsError> {
    text.parse().map_err(|error| SettingsError::Digest {
        field: field.to_owned(),
        error,
    })
}

fn location(module: &ModuleSpec) -> Result<ModuleLocation, SettingsError> {
    let location = match (&module.path, &module.config_map, &module.image) {
        (Some(path), None, None) => {
            ModuleLocation::File(PathBuf::from(filled("spec.module.path", path)?))
        }
        (None, Some(entry), None) => config_map(entry)?,
        (None, None, Some(reference)) => return image_place(reference, module),
        (None, None, None) => return Err(SettingsError::NoSource),
        (path, config_map, image) => {
            let given = [
                path.as_ref().map(|_| "path"),
                config_map.as_ref().map(|_| "configMap"),
                image.as_ref().map(|_| "image"),
            ];
            let given: Vec<_> = given.into_iter().flatten().collect();
            return Err(SettingsError::Sources(given.join(" and ")));
        }
    };
    let for_images = [
        (module.pull_secret.is_some(), "pullSecret"),
        (module.plain_http.is_some(), "plainHttp"),
        (module.poll_interval.is_some(), "pollInterval"),
    ];
    match for_images.iter().find(|(is_given, _)| *is_given) {
        Some((_, field)) => Err(SettingsError::ImageOnly(field)),
        None => Ok(location),
    }
}

fn filled(field: &'static str, text: &str) -> Result<String, SettingsError> {
    if text.is_empty() {
        return Err(SettingsError::Empty(field));
    }
    Ok(text.to_owned())
}

fn config_map(entry: &ConfigMapEntry) -> Result<ModuleLocation, SettingsError> {
    Ok(ModuleLocation::ConfigMap {
        namespace: filled("spec.module.configMap.namespace", &entry.namespace)?,
        name: filled("spec.module.configMap.name", &entry.name)?,
        key: filled("spec.module.configMap.key", &entry.key)?,
    })
}

fn image_place(reference: &str, module: &ModuleSpec) -> Result<ModuleLocation, SettingsError> {
    if !image::is_reference(reference) {
        return Err(SettingsError::Image(reference.to_owned()));
    }
    let pull_secret = match &module.pull_secret {
        Some(secret) => Some((
            filled("spec.module.pullSecret.namespace", &secret.namespace)?,
            filled("spec.module.pullSecret.name", &secret.name)?,
        )),
        None => None,
    };
    let poll_interval = match &module.poll_interval {
        Some(interval) => rules::POLL_INTERVAL.duration(interval)?,
        None => POLL_INTERVAL,
    };
    Ok(ModuleLocation::Image(Image {
        reference: reference.to_owned(),
        pull_secret,
        is_plain_http: module.plain_http.unwrap_or_default(),
        poll_interval,
    }))
}

fn call_limits(limits: &LimitsSpec) -> Result<CallLimits, SettingsError> {
    Ok(CallLimits {
        memory: rules::MEMORY.bytes(&limits.memory)?,
        deadline: rules::DEADLINE.duration(&limits.deadline)?,
        response: rules::RESPONSE_SIZE.bytes(&limits.response_size)?,
    })
}

fn limits(limits: &LimitsSpec) -> Result<Limits, SettingsError> {
    Ok(Limits {
        children: count(limits.children, MOST_CHILDREN, SettingsError::Children)?,
        child_bytes: rules::CHILD_SIZE.bytes(&limits.child_size)?,
        status_bytes: rules::STATUS_SIZE.bytes(&limits.status_size)?,
        related: count(
            limits.related,
            MOST_RELATED_OBJECTS,
            SettingsError::RelatedObjects,
        )?,
        related_bytes: rules::RELATED_SIZE.bytes(&limits.related_size)?,
    })
}

/// A number of 0 to `most`.
fn count(
    number: i32,
    most: i32,
    error: impl Fn(i32) -> SettingsError,
) -> Result<usize, SettingsError> {
    if number > most {
        return Err(error(number));
    }
    usize::try_from(number).map_err(|_| error(number))
}

fn rollout(rollout: &RolloutSpec) -> Result<RolloutPolicy, SettingsError> {
    let ratio = rollout.max_failure_ratio;
    if !(0.0..=1.0).contains(&ratio) {
        return Err(SettingsError::Ratio(ratio));
    }
    Ok(RolloutPolicy {
        preview: rollout.preview.into(),
        max_failure_ratio: ratio,
        window: rules::WINDOW.duration(&rollout.window)?,
    })
}

/// The approved digest. A value that is no digest approves nothing; the condition says which digest would.
fn approved(handler: &Handler) -> Option<Digest> {
    let annotations = handler.metadata.annotations.as_ref();
    let approval = annotations.and_then(|annotations| annotations.get(APPROVE_ANNOTATION));
    approval?.parse().ok()
}

#[cfg(test)]
mod tests;
