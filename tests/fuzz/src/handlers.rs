use std::time::Duration;

use handler_host_cluster::resource::{Handler, read_handler};
use handler_host_core::{
    CallLimits, Grant, GrantRequest, Limits, ModuleLocation, Scope, Settings, is_handler_name,
};
use serde_json::{Value, json};

use crate::yaml::yaml_documents;

/// Reads the text of a file of Handlers, as `handler-host run --handler` does.
pub fn handlers(data: &[u8]) {
    for document in yaml_documents(data) {
        let Ok(handler) = read_handler(document) else {
            continue;
        };
        if let Ok(settings) = Settings::try_from(&handler) {
            is_within_bounds(&settings);
            is_read_alike(&handler, &settings);
            can_be_granted(&settings);
        }
    }
}

/// The bounds that docs/reference/handler.md states.
fn is_within_bounds(settings: &Settings) {
    assert!(is_handler_name(&settings.name));
    let CallLimits {
        memory,
        deadline,
        response,
    } = settings.call_limits;
    assert!((1 << 20..=1 << 30).contains(&memory));
    assert!((Duration::from_millis(10)..=Duration::from_secs(60)).contains(&deadline));
    assert!((64 << 10..=32 << 20).contains(&response));
    let Limits {
        children,
        child_bytes,
        status_bytes,
        related,
        related_bytes,
    } = settings.limits;
    assert!(children <= 1000);
    assert!((1 << 10..=1 << 20).contains(&child_bytes));
    assert!((1 << 10..=1 << 20).contains(&status_bytes));
    assert!(related <= 10_000);
    assert!((1 << 10..=64 << 20).contains(&related_bytes));
    let rollout = settings.rollout;
    let day = Duration::from_secs(24 * 60 * 60);
    assert!((0.0..=1.0).contains(&rollout.max_failure_ratio));
    assert!((Duration::from_secs(1)..=day).contains(&rollout.window));
    if let ModuleLocation::Image(image) = &settings.module.location {
        assert!((Duration::from_secs(1)..=day).contains(&image.poll_interval));
    }
    let clock = settings.clock;
    assert!(clock.is_none_or(|it| (Duration::from_secs(1)..=day).contains(&it)));
    assert!(settings.children.len() <= 32);
    assert!(settings.related.len() <= 32);
    let mut children = settings.children.iter();
    assert!(children.all(|child| !child.kind.is_same_kind(&settings.parent)));
    let config: Value = serde_json::from_str(&settings.config).expect("a module gets JSON");
    assert!(config.is_object());
}

/// A Handler that is printed and read again is the same, or else every restart would look like a change of it.
fn is_read_alike(handler: &Handler, settings: &Settings) {
    let printed = json!({
        "apiVersion": "handler-host.dev/v1alpha1",
        "kind": "Handler",
        "metadata": {"name": handler.metadata.name, "annotations": handler.metadata.annotations},
        "spec": handler.spec,
    });
    let again = read_handler(printed).expect("it was read before");
    assert_eq!(Settings::try_from(&again).as_ref(), Ok(settings));
}

fn can_be_granted(settings: &Settings) {
    let granted: Result<Grant, _> = GrantRequest::from(settings).grant_in(|_| Scope::Namespaced);
    let grant = granted.expect("the settings were checked");
    assert_eq!(grant.children.len(), settings.children.len());
}
