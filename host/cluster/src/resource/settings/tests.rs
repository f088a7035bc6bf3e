use handler_host_core::{OnParentDelete, ParentSelection, PreviewPolicy, RelatedPlaces};
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::resource::read_handler;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn evc() -> Value {
    json!({
        "apiVersion": "handler-host.dev/v1alpha1",
        "kind": "Handler",
        "metadata": {"name": "evc"},
        "spec": {
            "module": {"path": "/modules/evc.wasm"},
            "parent": {"apiVersion": "kopf.dev/v1", "kind": "EphemeralVolumeClaim"},
            "children": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim"}],
        },
    })
}

/// The Handler `evc` with other values at these JSON pointers' fields.
fn changed(changes: &Value) -> Value {
    let mut handler = evc();
    for (pointer, value) in changes.as_object().unwrap() {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let mut place = &mut handler;
        for step in parent.split('/').skip(1) {
            place = &mut place[step];
        }
        place[field] = value.clone();
    }
    handler
}

fn settings(changes: &Value) -> Result<Settings, SettingsError> {
    Settings::try_from(&read_handler(changed(changes)).unwrap())
}

fn kind_of(api_version: &str, kind: &str) -> Kind {
    Kind::new(api_version, kind).unwrap()
}

fn child_of(kind: Kind, on_parent_delete: OnParentDelete) -> ChildPolicy {
    ChildPolicy::new(kind, on_parent_delete)
}

#[test]
fn what_a_handler_leaves_out_has_a_default() {
    let settings = settings(&json!({})).unwrap();
    let expected = Settings {
        name: "evc".to_owned(),
        spec: settings.spec,
        module: ModuleSource {
            location: ModuleLocation::File("/modules/evc.wasm".into()),
            pinned: None,
        },
        parent: kind_of("kopf.dev/v1", "EphemeralVolumeClaim"),
        parent_status: None,
        condition: "Ready".to_owned(),
        selection: ParentSelection::default(),
        children: vec![child_of(
            kind_of("v1", "PersistentVolumeClaim"),
            OnParentDelete::Delete,
        )],
        related: Vec::new(),
        clock: None,
        account: None,
        config: "{}".to_owned(),
        call_limits: CallLimits::default(),
        limits: Limits::default(),
        rollout: RolloutPolicy::default(),
        approved: None,
        is_paused: false,
    };
    assert_eq!(settings, expected);
}

#[test]
fn limits_are_taken() {
    let settings = settings(&json!({"/spec/limits": {
        "memory": "1Gi", "deadline": "500ms", "children": 0, "childSize": "0.5Mi", "statusSize": "1Ki",
        "responseSize": "1Mi", "related": 10, "relatedSize": "64Mi",
    }}))
    .unwrap();
    let call_limits = CallLimits {
        memory: 1 << 30,
        deadline: Duration::from_millis(500),
        response: 1 << 20,
    };
    assert_eq!(settings.call_limits, call_limits);
    let limits = Limits {
        children: 0,
        child_bytes: 512 << 10,
        status_bytes: 1 << 10,
        related: 10,
        related_bytes: 64 << 20,
    };
    assert_eq!(settings.limits, limits);
}

#[test]
fn what_a_handler_says_is_taken() {
    let settings = settings(&json!({
        "/metadata/annotations": {APPROVE_ANNOTATION: DIGEST},
        "/spec/module": {
            "image": "registry.example/evc:1",
            "digest": DIGEST,
            "pullSecret": {"namespace": "ns", "name": "secret"},
            "plainHttp": true,
            "pollInterval": "1m30s",
        },
        "/spec/children": [
            {"apiVersion": "v1", "kind": "Secret", "onParentDelete": "Orphan"},
            {"apiVersion": "v1", "kind": "ConfigMap"},
        ],
        "/spec/serviceAccount": {"namespace": "team-a", "name": "evc"},
        "/spec/config": {"z": 1, "a": [null, {"y": 1, "b": 2}]},
        "/spec/rollout": {"preview": "Required", "maxFailureRatio": 1, "window": "24h"},
    }))
    .unwrap();
    let digest = Some(DIGEST.parse().unwrap());
    let image = Image {
        reference: "registry.example/evc:1".to_owned(),
        pull_secret: Some(("ns".to_owned(), "secret".to_owned())),
        is_plain_http: true,
        poll_interval: Duration::from_secs(90),
    };
    assert_eq!(
        settings.module,
        ModuleSource {
            location: ModuleLocation::Image(image),
            pinned: digest,
        }
    );
    let children = [
        child_of(kind_of("v1", "Secret"), OnParentDelete::Orphan),
        child_of(kind_of("v1", "ConfigMap"), OnParentDelete::Delete),
    ];
    assert_eq!(settings.children, children);
    assert_eq!(settings.account, Account::new("team-a", "evc").ok());
    assert_eq!(settings.config, r#"{"a":[null,{"b":2,"y":1}],"z":1}"#);
    let rollout = RolloutPolicy {
        preview: PreviewPolicy::Required,
        max_failure_ratio: 1.0,
        window: Duration::from_secs(86_400),
    };
    assert_eq!(settings.rollout, rollout);
    assert_eq!(settings.approved, digest);
}

#[rstest]
#[case::a_config_map(
    json!({"configMap": {"namespace": "ns", "name": "evc", "key": "evc.wasm"}}),
    ModuleLocation::ConfigMap { namespace: "ns".into(), name: "evc".into(), key: "evc.wasm".into() }
)]
#[case::an_image(
    json!({"image": "registry.example/evc:1"}),
    ModuleLocation::Image(Image {
        reference: "registry.example/evc:1".into(),
        pull_secret: None,
        is_plain_http: false,
        poll_interval: Duration::from_secs(60),
    })
)]
#[case::a_null_is_nothing(
    json!({"path": "evc.wasm", "image": null, "pullSecret": null}),
    ModuleLocation::File("evc.wasm".into())
)]
fn a_module_comes_from_one_place(#[case] module: Value, #[case] location: ModuleLocation) {
    let settings = settings(&json!({"/spec/module": module})).unwrap();
    assert_eq!(settings.module.location, location);
}

#[test]
fn another_spec_has_another_digest_and_the_same_has_the_same() {
    let digest = |changes: Value| settings(&changes).unwrap().spec;
    let here = digest(json!({}));
    assert_eq!(here, digest(json!({"/spec/config": {}})));
    assert_eq!(here, digest(json!({"/metadata/labels": {"a": "b"}})));
    assert_eq!(here, digest(json!({"/spec/limits": {"memory": "64Mi"}})));
    assert_ne!(here, digest(json!({"/spec/config": {"a": 1}})));
    assert_ne!(here, digest(json!({"/spec/limits": {"memory": "65Mi"}})));
    assert_eq!(
        digest(json!({"/spec/config": {"a": 1, "b": 2}})),
        digest(json!({"/spec/config": {"b": 2, "a": 1}}))
    );
}

#[rstest]
#[case::beside_the_parent(json!({"kind": "ConfigMap"}), RelatedPlaces::Parents, &[], "")]
#[case::everywhere(json!({"kind": "ConfigMap", "namespaces": ["*"]}), RelatedPlaces::Everywhere, &[], "")]
#[case::in_two_places(
    json!({"kind": "Secret", "namespaces": ["a", "b"]}),
    RelatedPlaces::Namespaces(vec!["a".into(), "b".into()]),
    &[],
    ""
)]
#[case::by_name(json!({"kind": "Secret", "names": ["ca", "tls"]}), RelatedPlaces::Parents, &["ca", "tls"], "")]
#[case::by_label(
    json!({"kind": "Secret", "labelSelector": {
        "matchLabels": {"a.io/copy": "yes"},
        "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["b", "a"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }}),
    RelatedPlaces::Parents,
    &[],
    "a.io/copy=yes,!old,tier notin (a,b)"
)]
#[case::every_secret(json!({"kind": "Secret", "allowAll": true}), RelatedPlaces::Parents, &[], "")]
fn what_may_be_seen_is_taken(
    #[case] mut related: Value,
    #[case] places: RelatedPlaces,
    #[case] names: &[&str],
    #[case] labels: &str,
) {
    related["apiVersion"] = json!("v1");
    let settings = settings(&json!({"/spec/related": [related], "/spec/clock": "90s"})).unwrap();
    let [policy] = settings.related.as_slice() else {
        panic!("{:?}", settings.related);
    };
    assert_eq!(policy.places, places);
    assert_eq!(policy.names, names);
    assert_eq!(policy.labels.to_string(), labels);
    assert_eq!(settings.clock, Some(Duration::from_secs(90)));
}

#[test]
fn a_handler_has_at_most_32_entries_of_related_objects() {
    let entry = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let entries = |count| settings(&json!({"/spec/related": vec![entry.clone(); count]}));
    assert_eq!(entries(32).unwrap().related.len(), 32);
    assert_eq!(entries(33).unwrap_err(), SettingsError::Related(33));
}

#[rstest]
#[case::not_said(json!({}), ChildUpdate::InPlace)]
#[case::never(json!({"update": "Never"}), ChildUpdate::Never)]
#[case::one_by_one(json!({"update": "Recreate"}), ChildUpdate::Recreate { max_unavailable: 1 })]
#[case::five_at_a_time(
    json!({"update": "Recreate", "maxUnavailable": 5}),
    ChildUpdate::Recreate { max_unavailable: 5 }
)]
fn what_becomes_of_children_is_taken(#[case] mut child: Value, #[case] update: ChildUpdate) {
    child["apiVersion"] = json!("v1");
    child["kind"] = json!("Pod");
    let settings = settings(&json!({"/spec/children": [child]})).unwrap();
    assert_eq!(settings.children[0].update, update);
}

#[rstest]
#[case::an_excluded_namespace_of_no_name(
    json!({"/spec/parent/excludedNamespaces": ["*"]}),
    "spec.parent.excludedNamespaces has \"*\", which is no DNS label; use a-z, 0-9 and `-`, such as kube-system"
)]
#[case::a_parent_selector_of_no_label(
    json!({"/spec/parent/namespaceSelector": {"matchLabels": {"a b": "c"}}}),
    "spec.parent.namespaceSelector: \"a b\" is no label key; use at most 63 letters, digits, `-`, `_` and `.`, with or without a DNS subdomain before it, such as example.com/tier"
)]
#[case::no_condition(
    json!({"/spec/parent/condition": "not ready"}),
    "spec.parent.condition \"not ready\" is no type of a condition; write one in CamelCase, such as Synced or example.com/Synced"
)]
#[case::at_no_time(
    json!({"/spec/children": [{"apiVersion": "v1", "kind": "Pod", "update": "Recreate", "maxUnavailable": 0}]}),
    "spec.children[0].maxUnavailable 0 is not within 1 to 1000; write it as 1"
)]
#[case::a_maximum_for_nothing(
    json!({"/spec/children": [{"apiVersion": "v1", "kind": "Pod", "maxUnavailable": 1}]}),
    "spec.children[0].maxUnavailable is for update: Recreate only; drop it, or write that"
)]
#[case::every_secret_by_the_way(
    json!({"/spec/related": [{"apiVersion": "v1", "kind": "Secret"}]}),
    "spec.related[0] shows every Secret; limit them by names, namespaces or a labelSelector, or write allowAll: true"
)]
#[case::every_secret_everywhere(
    json!({"/spec/related": [{"apiVersion": "v1", "kind": "Secret", "namespaces": ["*"], "labelSelector": {}}]}),
    "spec.related[0] shows every Secret; limit them by names, namespaces or a labelSelector, or write allowAll: true"
)]
#[case::all_namespaces_and_one(
    json!({"/spec/related": [{"apiVersion": "v1", "kind": "ConfigMap", "namespaces": ["a", "*"]}]}),
    "spec.related[0].namespaces has \"*\", which is no DNS label; use a-z, 0-9 and `-`, such as team-a, or only \"*\" for all namespaces"
)]
#[case::a_name_of_no_object(
    json!({"/spec/related": [{"apiVersion": "v1", "kind": "ConfigMap", "names": ["a/b"]}]}),
    "spec.related[0].names has \"a/b\", which no object can have as its name; use at most 253 letters, digits, `-`, `.`, `_` and `:`"
)]
#[case::a_selector_of_no_label(
    json!({"/spec/related": [{"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": {"matchLabels": {"a b": "c"}}}]}),
    "spec.related[0].labelSelector: \"a b\" is no label key; use at most 63 letters, digits, `-`, `_` and `.`, with or without a DNS subdomain before it, such as example.com/tier"
)]
#[case::a_selector_without_values(
    json!({"/spec/related": [{"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]}),
    "spec.related[0].labelSelector: the operator In of label a has 0 values; name at least one"
)]
#[case::a_fine_clock(
    json!({"/spec/clock": "10ms"}),
    "spec.clock \"10ms\" is no duration of 1s to 24h; write it as 1m"
)]
#[case::many_related_objects(
    json!({"/spec/limits": {"related": 10_001}}),
    "spec.limits.related 10001 is not within 0 to 10000; write it as 1000"
)]
#[case::large_related_objects(
    json!({"/spec/limits": {"relatedSize": "65Mi"}}),
    "spec.limits.relatedSize \"65Mi\" is no quantity of 1Ki to 64Mi; write it as 4Mi"
)]
#[case::an_account_without_namespace(
    json!({"/spec/serviceAccount": {"namespace": "", "name": "evc"}}),
    "spec.serviceAccount: namespace \"\" is not a DNS label of at most 63 characters; use a-z, 0-9 and `-`, such as team-a"
)]
#[case::an_account_of_no_name(
    json!({"/spec/serviceAccount": {"namespace": "a", "name": "a:b"}}),
    "spec.serviceAccount: name \"a:b\" is not a DNS subdomain; use a-z, 0-9, `-` and `.`, such as evc"
)]
#[case::no_source(
    json!({"/spec/module": {}}),
    "spec.module names no source; give one of path, configMap and image"
)]
#[case::two_sources(
    json!({"/spec/module/image": "registry.example/evc:1"}),
    "spec.module names path and image; give exactly one of path, configMap and image"
)]
#[case::an_empty_path(json!({"/spec/module/path": ""}), "spec.module.path is empty; fill it in")]
#[case::an_empty_key(
    json!({"/spec/module": {"configMap": {"namespace": "a", "name": "b", "key": ""}}}),
    "spec.module.configMap.key is empty; fill it in"
)]
#[case::an_image_without_registry(
    json!({"/spec/module": {"image": "evc:1"}}),
    "spec.module.image \"evc:1\" does not name registry, repository, and tag or digest; write it as \
     registry.example/evc:1 or registry.example/evc@sha256:…"
)]
#[case::a_bad_digest(
    json!({"/spec/module/digest": "md5:00"}),
    "spec.module.digest \"md5:00\" is no digest; write sha256: and 64 of 0-9a-f, as `sha256sum` prints them"
)]
#[case::a_pull_secret_for_a_file(
    json!({"/spec/module/pullSecret": {"namespace": "a", "name": "b"}}),
    "spec.module.pullSecret is for images only; drop it, or give spec.module.image"
)]
#[case::plain_http_for_a_file(
    json!({"/spec/module/plainHttp": false}),
    "spec.module.plainHttp is for images only; drop it, or give spec.module.image"
)]
#[case::a_poll_interval_for_a_file(
    json!({"/spec/module/pollInterval": "1m"}),
    "spec.module.pollInterval is for images only; drop it, or give spec.module.image"
)]
#[case::a_short_poll_interval(
    json!({"/spec/module": {"image": "registry.example/evc:1", "pollInterval": "10ms"}}),
    "spec.module.pollInterval \"10ms\" is no duration of 1s to 24h; write it as 1m"
)]
#[case::a_parent_that_is_no_kind(
    json!({"/spec/parent/kind": "cl aims"}),
    "spec.parent: kind \"cl aims\" is not made of at most 63 letters, digits and `-`, beginning with a letter; write it as objects do, such as `ConfigMap`"
)]
#[case::a_child_that_is_no_kind(
    json!({"/spec/children": [{"apiVersion": "V1", "kind": "Secret"}]}),
    "spec.children[0]: apiVersion \"V1\" is neither `version` nor `group/version`; write `v1` or `kopf.dev/v1`"
)]
#[case::a_child_named_twice(
    json!({"/spec/children": [
        {"apiVersion": "v1", "kind": "Secret"},
        {"apiVersion": "v1", "kind": "Secret", "onParentDelete": "Orphan"},
    ]}),
    "spec.children names v1 Secret twice; name each kind once"
)]
#[case::the_parent_as_child(
    json!({"/spec/children": [{"apiVersion": "kopf.dev/v1", "kind": "EphemeralVolumeClaim"}]}),
    "spec.children names kopf.dev/v1 EphemeralVolumeClaim, the kind of the parent, and the handler would call \
     itself for ever; drop that child"
)]
#[case::no_memory(
    json!({"/spec/limits": {"memory": "lots"}}),
    "spec.limits.memory \"lots\" is no quantity of 1Mi to 1Gi; write it as 64Mi"
)]
#[case::little_memory(
    json!({"/spec/limits": {"memory": "1023Ki"}}),
    "spec.limits.memory \"1023Ki\" is no quantity of 1Mi to 1Gi; write it as 64Mi"
)]
#[case::much_memory(
    json!({"/spec/limits": {"memory": "2Gi"}}),
    "spec.limits.memory \"2Gi\" is no quantity of 1Mi to 1Gi; write it as 64Mi"
)]
#[case::half_a_byte(
    json!({"/spec/limits": {"memory": "2000000.5"}}),
    "spec.limits.memory \"2000000.5\" is no quantity of 1Mi to 1Gi; write it as 64Mi"
)]
#[case::a_short_deadline(
    json!({"/spec/limits": {"deadline": "9ms"}}),
    "spec.limits.deadline \"9ms\" is no duration of 10ms to 60s; write it as 1s"
)]
#[case::a_long_deadline(
    json!({"/spec/limits": {"deadline": "5h"}}),
    "spec.limits.deadline \"5h\" is no duration of 10ms to 60s; write it as 1s"
)]
#[case::a_negative_deadline(
    json!({"/spec/limits": {"deadline": "-1s"}}),
    "spec.limits.deadline \"-1s\" is no duration of 10ms to 60s; write it as 1s"
)]
#[case::many_children(
    json!({"/spec/limits": {"children": 1001}}),
    "spec.limits.children 1001 is not within 0 to 1000; write it as 100"
)]
#[case::negative_children(
    json!({"/spec/limits": {"children": -1}}),
    "spec.limits.children -1 is not within 0 to 1000; write it as 100"
)]
#[case::large_children(
    json!({"/spec/limits": {"childSize": "2Mi"}}),
    "spec.limits.childSize \"2Mi\" is no quantity of 1Ki to 1Mi; write it as 256Ki"
)]
#[case::a_ratio_above_one(
    json!({"/spec/rollout": {"maxFailureRatio": 2}}),
    "spec.rollout.maxFailureRatio 2 is not within 0 to 1; write it as 0.5"
)]
#[case::a_negative_ratio(
    json!({"/spec/rollout": {"maxFailureRatio": -0.1}}),
    "spec.rollout.maxFailureRatio -0.1 is not within 0 to 1; write it as 0.5"
)]
#[case::a_long_window(
    json!({"/spec/rollout": {"window": "24h1ms"}}),
    "spec.rollout.window \"24h1ms\" is no duration of 1s to 24h; write it as 60s"
)]
#[case::a_name_with_dots(
    json!({"/metadata/name": "a.b"}),
    "metadata.name \"a.b\" is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as evc"
)]
fn what_cannot_be_served_is_refused_with_value_rule_and_remedy(
    #[case] changes: Value,
    #[case] told: &str,
) {
    assert_eq!(settings(&changes).unwrap_err().to_string(), told);
}

#[test]
fn a_name_is_as_long_as_labels_and_field_managers_bear() {
    let named = |length: usize| settings(&json!({"/metadata/name": "a".repeat(length)}));
    assert_eq!(named(48).unwrap().name.len(), 48);
    assert_eq!(named(49).unwrap_err(), SettingsError::Name("a".repeat(49)));
}

#[test]
fn a_handler_has_at_most_32_kinds_of_children() {
    let kinds = |count: usize| {
        let kinds = (0..count).map(|i| json!({"apiVersion": "v1", "kind": format!("Kind{i}")}));
        settings(&json!({"/spec/children": kinds.collect::<Vec<_>>()}))
    };
    assert_eq!(kinds(32).unwrap().children.len(), 32);
    assert_eq!(kinds(33).unwrap_err(), SettingsError::Kinds(33));
}

#[rstest]
#[case::a_config_map(
    json!({"/kind": "ConfigMap"}),
    "a handler-host.dev/v1alpha1 ConfigMap is no Handler of handler-host.dev/v1alpha1; write one"
)]
#[case::another_version(
    json!({"/apiVersion": "handler-host.dev/v1"}),
    "a handler-host.dev/v1 Handler is no Handler of handler-host.dev/v1alpha1; write one"
)]
#[case::an_unknown_field(
    json!({"/speck": {}}),
    "speck is no field of a Handler; there it has apiVersion, kind, metadata, spec"
)]
#[case::an_unknown_field_of_the_spec(
    json!({"/spec/limts": {"memory": "1Gi"}}),
    "spec.limts is no field of a Handler; there it has children, clock, config, limits, module, parent, paused, related, rollout, serviceAccount"
)]
#[case::an_unknown_field_of_a_child(
    json!({"/spec/children": [{"apiVersion": "v1", "kind": "Secret", "name": "a"}]}),
    "spec.children[0].name is no field of a Handler; there it has apiVersion, kind, maxUnavailable, onParentDelete, update"
)]
#[case::no_spec(json!({"/spec": null}), "spec is missing; write it")]
#[case::no_module(json!({"/spec/module": null}), "spec.module is missing; write it")]
#[case::no_namespace(
    json!({"/spec/module": {"configMap": {"name": "a", "key": "b"}}}),
    "spec.module.configMap.namespace is missing; write it"
)]
#[case::memory_as_a_number(
    json!({"/spec/limits": {"memory": 67_108_864}}),
    "spec.limits.memory is 67108864, which is no string; write one"
)]
#[case::a_fraction_of_a_child(
    json!({"/spec/limits": {"children": 1.5}}),
    "spec.limits.children is 1.5, which is no integer; write one"
)]
#[case::children_beyond_numbers(
    json!({"/spec/limits": {"children": 5_000_000_000_i64}}),
    "spec does not fit (invalid value: integer `5000000000`, expected i32); correct it"
)]
#[case::config_as_a_list(
    json!({"/spec/config": []}),
    "spec.config is [], which is no object; write one"
)]
#[case::an_unknown_word(
    json!({"/spec/rollout": {"preview": "required"}}),
    "spec.rollout.preview is \"required\"; write one of \"Optional\", \"Required\""
)]
#[case::metadata_of_another_form(
    json!({"/metadata/labels": 5}),
    "metadata does not fit (invalid type: integer `5`, expected a map); correct it"
)]
fn a_document_that_is_no_handler_is_refused_by_the_field(
    #[case] changes: Value,
    #[case] told: &str,
) {
    assert_eq!(
        read_handler(changed(&changes)).unwrap_err().to_string(),
        told
    );
}

#[test]
fn an_approval_that_is_no_digest_approves_nothing() {
    let settings = settings(&json!({"/metadata/annotations": {APPROVE_ANNOTATION: "yes"}}));
    assert_eq!(settings.unwrap().approved, None);
}
