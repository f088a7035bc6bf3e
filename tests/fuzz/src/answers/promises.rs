//! What the host promises, whatever a handler answers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use handler_host_core::{
    APPLIED_ANNOTATION, Applied, Child, ChildRef, Claimant, ConditionChange, Decision, Digest,
    FieldPath, HANDLER_LABEL, HandlerIdentity, Kind, MANAGED_BY_LABEL, Object, PARENT_UID_LABEL,
    PassOutcome, READY, StatusInput, Step, Timestamp, Undecided, Verdict, accepted_mark,
    dropped_fields, plan, status_patch,
};
use serde_json::{Value, json};

use super::api_server::{Records, applied};
use super::scene::{HANDLER, PARENT, Scene};

/// The longest message of a condition.
const MESSAGE: usize = 4096;
/// What no handler may set.
const NOT_THE_HANDLERS: [&str; 9] = [
    "finalizers",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "selfLink",
];

pub(super) fn hold(scene: &Scene) {
    match decide(scene) {
        Ok(decision) => {
            bounds_are_kept(scene, &decision);
            for child in decision.desired.iter() {
                child_is_within_the_grant(scene, child);
            }
            plan_is_within_the_grant(scene, &decision);
            for records in [Records::Managers, Records::Fields] {
                what_is_written_settles(scene, &decision, records);
                what_the_api_server_changes_settles(scene, &decision, records);
            }
            status_settles(scene, &decision);
            is_decided_alike(scene, &decision);
        }
        Err(undecided) => {
            nothing_is_written(&undecided);
            assert_eq!(decide(scene).err(), Some(undecided));
        }
    }
}

fn decide(scene: &Scene) -> Result<Decision, Undecided> {
    let answer = Ok(scene.response.clone());
    Decision::of(
        answer,
        &scene.parent,
        &scene.observed,
        &scene.grant,
        scene.room,
    )
}

/// The same answer for the same parent leads to the same decision and plan.
fn is_decided_alike(scene: &Scene, decision: &Decision) {
    let again = decide(scene).expect("it was decided before");
    let children = |decision: &Decision| -> Vec<_> {
        let children = decision.desired.iter();
        children.map(|it| (it.name(), it.body.clone())).collect()
    };
    assert_eq!(children(&again), children(decision));
    assert_eq!(again.desired.digests(), decision.desired.digests());
    assert_eq!(again.response, decision.response);
    assert_eq!(again.status, decision.status);
    assert_eq!(again.memory, decision.memory);
    let steps = |decision| format!("{:?}", planned(scene, decision, &scene.observed));
    assert_eq!(steps(&again), steps(decision));
}

fn nothing_is_written(undecided: &Undecided) {
    let outcome = PassOutcome::of_undecided(undecided);
    assert!(!outcome.has_written() && outcome.events.is_empty() && outcome.status.is_none());
    let verdict = outcome.verdict.expect("there is a verdict");
    assert!(verdict.message.len() <= MESSAGE);
}

/// How many conditions an answer may have.
const CONDITIONS: usize = 32;

fn bounds_are_kept(scene: &Scene, decision: &Decision) {
    let (response, limits) = (&scene.response, scene.grant.limits);
    let count = response.children.len() + response.kept.len();
    assert_eq!(decision.desired.len(), count);
    assert!(count <= limits.children);
    let mut children = response.children.iter();
    assert!(children.all(|child| child.len() <= limits.child_bytes));
    assert!(response.status.bytes() <= limits.status_bytes);
    assert!(response.status.conditions.len() <= CONDITIONS);
    assert!(decision.memory <= scene.room);
}

fn child_is_within_the_grant(scene: &Scene, child: &Child) {
    let Scene { parent, grant, .. } = scene;
    let body = &child.body;
    let metadata = &body["metadata"];
    assert!(grant.child(&child.kind).is_some(), "{}", child.kind);
    assert_eq!(body["apiVersion"], child.kind.api_version);
    assert_eq!(body["kind"], child.kind.kind);
    assert_eq!(metadata["name"], *child.key.name);
    assert_eq!(
        metadata["namespace"].as_str(),
        child.key.namespace.as_deref()
    );
    let namespace = child.key.namespace.as_deref();
    match (&parent.meta.namespace, child.kind.kind.as_str()) {
        (Some(own), _) => assert_eq!(namespace, Some(own.as_str())),
        (None, "ClusterRole") => assert_eq!(namespace, None),
        (None, _) => {
            let namespace = namespace.expect("it has a namespace");
            assert!(!namespace.is_empty() && namespace != "kube-system");
        }
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    assert!(!child.key.name.is_empty() && child.key.name.bytes().all(is_plain));
    assert!(*child.key.name != *"." && *child.key.name != *"..");
    assert_eq!(metadata["labels"][HANDLER_LABEL], HANDLER);
    assert_eq!(metadata["labels"][PARENT_UID_LABEL], PARENT);
    assert_eq!(metadata["labels"][MANAGED_BY_LABEL], "handler-host");
    assert_eq!(
        metadata["annotations"][APPLIED_ANNOTATION],
        child.digest.to_string()
    );
    let owned = json!([{
        "apiVersion": grant.parent.api_version, "kind": grant.parent.kind, "name": "p", "uid": PARENT,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    let may_be_owned = !grant.keeps(&child.kind) && !parent.is_deleting_in_foreground();
    assert_eq!(
        metadata.get("ownerReferences"),
        may_be_owned.then_some(&owned)
    );
    for field in NOT_THE_HANDLERS {
        assert!(metadata.get(field).is_none(), "{field}");
    }
    assert!(body.get("status").is_none());
    assert!(child.kind.kind != "Secret" || body["type"] != "kubernetes.io/service-account-token");
}

fn planned<'a>(
    scene: &Scene,
    decision: &'a Decision,
    observed: &'a [(Kind, Arc<Object>)],
) -> Vec<Step<'a>> {
    planned_with(scene, decision, observed, &HashMap::new())
}

fn planned_with<'a>(
    scene: &Scene,
    decision: &'a Decision,
    observed: &'a [(Kind, Arc<Object>)],
    accepted: &HashMap<ChildRef, Digest>,
) -> Vec<Step<'a>> {
    plan(
        &decision.desired,
        observed,
        accepted,
        &scene.parent,
        &scene.grant,
    )
}

fn plan_is_within_the_grant(scene: &Scene, decision: &Decision) {
    let claimant = Claimant {
        parent: &scene.parent,
        grant: &scene.grant,
    };
    let mut written = HashSet::new();
    let mut is_deleting = false;
    for step in planned(scene, decision, &scene.observed) {
        let is_deletion = matches!(step, Step::Delete { .. });
        assert!(is_deletion || !is_deleting, "deletions are last");
        let child = match step {
            Step::Create(child) => child.name(),
            Step::Update { child, observed } | Step::Recreate { child, observed } => {
                assert!(
                    claimant.owns(&child.kind, observed),
                    "{} is foreign",
                    child.key
                );
                child.name()
            }
            Step::AwaitDeletion(child) => child,
            Step::Delete { child, uid } => {
                is_deleting = true;
                let mut observed = scene.observed.iter();
                let found = observed
                    .find(|(_, object)| object.key() == child.key && object.meta.uid == uid);
                let (kind, object) = found.expect("it was observed");
                assert!(claimant.owns(kind, object), "{} is foreign", child.key);
                assert!(!(scene.parent.is_deleting() && scene.grant.keeps(kind)));
                assert!(!written.contains(&child), "it is desired");
                child
            }
        };
        assert!(scene.grant.child(&child.kind).is_some());
        assert!(written.insert(child), "one step for each child");
    }
}

/// Once all was written, and the API server changed nothing of it, nothing is left to be done.
fn what_is_written_settles(scene: &Scene, decision: &Decision, records: Records) {
    let claimant = Claimant {
        parent: &scene.parent,
        grant: &scene.grant,
    };
    let mut stored = Vec::new();
    for child in decision.desired.iter() {
        let (kind, object) = applied(child, &Value::Null, records);
        assert!(
            claimant.owns(&kind, &object),
            "{} is not the parent's",
            child.key
        );
        assert_eq!(
            accepted_mark(child, &object),
            None,
            "{} is not as desired",
            child.key
        );
        stored.push((kind, object));
    }
    let steps = planned(scene, decision, &stored);
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(refs(&decision.desired.digests()).len(), stored.len());
}

/// Once all was written, and the API server changed it, nothing is left to be done until it changes again.
fn what_the_api_server_changes_settles(scene: &Scene, decision: &Decision, records: Records) {
    let mut stored = Vec::new();
    let mut accepted = HashMap::new();
    for child in decision.desired.iter() {
        let (kind, object) = applied(child, &scene.made, records);
        let mark = accepted_mark(child, &object);
        accepted.extend(mark.map(|mark| (child.name(), mark)));
        stored.push((kind, object));
    }
    let steps = planned_with(scene, decision, &stored, &accepted);
    assert!(steps.is_empty(), "{steps:?}");
}

fn refs(digests: &[(ChildRef, Digest)]) -> HashSet<&ChildRef> {
    digests.iter().map(|(child, _)| child).collect()
}

fn status_settles(scene: &Scene, decision: &Decision) {
    let applied = Applied::default();
    let outcome = PassOutcome::of_applied(decision, applied, 0, HANDLER, Timestamp(0));
    let observed = scene.parent.status();
    let verdict = outcome.verdict.clone().expect("nothing went wrong");
    let report = outcome.report(ConditionChange::of(&verdict, &observed, READY));
    let report = report.expect("there is a verdict");
    assert!(report.verdict.message.len() <= MESSAGE);
    assert!(report.events.len() <= scene.response.events.len() + 1);
    let patch = |observed: &Value, dropped: &BTreeSet<FieldPath>, now: &str| {
        status_patch(StatusInput {
            observed,
            verdict: &report.verdict,
            handler: HandlerIdentity {
                name: HANDLER,
                digest: Digest::of(b""),
            },
            condition: READY,
            generation: Some(1),
            patch: report.status.as_ref().map(|status| &status.fields),
            conditions: report.status.as_ref().map_or(&[], |it| &it.conditions),
            dropped,
            now,
        })
    };
    let mut status = observed;
    let nothing = BTreeSet::new();
    if let Some(patch) = patch(&status, &nothing, "2026-01-01T00:00:00Z") {
        json_patch::merge(&mut status, &patch);
        has_our_condition(&status, &report.verdict);
    }
    let again = patch(&status, &nothing, "2026-01-01T00:00:01Z");
    assert_eq!(
        again, None,
        "a status that says it already is written again"
    );
    // A kind whose schema keeps nothing of a status.
    let mut dropped = BTreeSet::new();
    while let Some(patch) = patch(&Value::Null, &dropped, "2026-01-01T00:00:00Z") {
        let before = dropped.len();
        dropped.extend(dropped_fields(&patch, &Value::Null));
        assert!(dropped.len() > before, "{patch} is written for ever");
    }
}

fn has_our_condition(status: &Value, verdict: &Verdict) {
    let conditions = status["conditions"].as_array().expect("a list");
    let ready: Vec<_> = conditions
        .iter()
        .filter(|it| it["type"] == "Ready")
        .collect();
    let [ready] = ready.as_slice() else {
        panic!("{} conditions are called Ready", ready.len());
    };
    assert_eq!(ready["reason"], verdict.reason.as_str());
    assert_eq!(ready["message"], verdict.message);
    assert_eq!(status["handlers"][HANDLER]["condition"], READY);
}
