use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::dropped::{FieldPath, without};
use super::verdict::{Reason, Verdict};
use crate::{Digest, ParentCondition};

/// What the status of a parent is made of.
#[derive(Clone, Copy, Debug)]
pub struct StatusInput<'a> {
    /// The parent's status as observed; null if it has none.
    pub observed: &'a Value,
    /// The verdict of the pass.
    pub verdict: &'a Verdict,
    /// The handler that gave it.
    pub handler: HandlerIdentity<'a>,
    /// The type of its condition.
    pub condition: &'a str,
    /// The generation of the parent that the verdict is about. None for a kind without a status subresource: there each
    /// write of the status raises the generation, so that a status with the generation would have to be written for ever.
    pub generation: Option<i64>,
    /// The handler's own merge patch of the status.
    pub patch: Option<&'a Map<String, Value>>,
    /// The handler's own conditions.
    pub conditions: &'a [ParentCondition],
    /// The fields that the schema of the kind drops, as [`dropped_fields`](crate::dropped_fields) gives them. They are not written.
    pub dropped: &'a BTreeSet<FieldPath>,
    /// The present time, in RFC 3339 with seconds.
    pub now: &'a str,
}

/// The entry in the field `status.handlers`.
#[derive(Clone, Copy, Debug)]
pub struct HandlerIdentity<'a> {
    /// The handler's name.
    pub name: &'a str,
    /// The digest of its module.
    pub digest: Digest,
}

/// Whether a verdict changes what the parent's condition `Ready` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionChange {
    /// The condition says the same.
    Same,
    /// The condition says something else, or there is none.
    Transition,
}

impl ConditionChange {
    /// Compares a verdict with the handler's condition, which is of this type, in an observed status.
    #[must_use]
    pub fn of(verdict: &Verdict, status: &Value, condition: &str) -> Self {
        let Some(before) = condition_in(status, condition) else {
            return Self::Transition;
        };
        let says = |reason: &str, message: &str| {
            before["reason"] == reason
                && (verdict.reason.is_ready() || before["message"] == message)
        };
        Self::unless(says(verdict.reason.as_str(), &verdict.message))
    }

    /// Compares a verdict with what was told last of a parent whose status does not keep it. None was told since the
    /// host started: then only failures and changes are news, or each start would tell of every parent.
    #[must_use]
    pub fn since(told: Option<&Verdict>, verdict: &Verdict, has_changes: bool) -> Self {
        match told {
            Some(told) => Self::unless(
                told.reason == verdict.reason
                    && (verdict.reason.is_ready() || told.message == verdict.message),
            ),
            None => Self::unless(!has_changes && !verdict.reason.is_failure()),
        }
    }

    /// Compares a verdict with an earlier one that is not written yet.
    #[must_use]
    pub fn between(earlier: &Verdict, verdict: &Verdict) -> Self {
        Self::unless(earlier == verdict)
    }

    fn unless(is_same: bool) -> Self {
        if is_same {
            Self::Same
        } else {
            Self::Transition
        }
    }
}

/// The reason of a handler's condition in an observed status, if it is a failure.
#[must_use]
pub fn reported_failure(status: &Value, condition: &str) -> Option<Reason> {
    let reason = condition_in(status, condition)?["reason"].as_str()?;
    Reason::parse(reason).filter(|reason| reason.is_failure())
}

/// The merge patch (RFC 7386) that makes the observed status say the verdict; None if it says the same already.
///
/// Conditions of other types are kept. Those of the handler get a `lastTransitionTime`, which is kept as long as their status
/// is the same.
#[must_use]
pub fn status_patch(input: StatusInput<'_>) -> Option<Value> {
    let mut patch = input.patch.cloned().unwrap_or_default();
    let observed_conditions = conditions_of(input.observed);
    let wanted = match patch.remove("conditions") {
        // Those of other handlers are not this one's to remove.
        Some(Value::Array(conditions)) => with_others(conditions, &input),
        _ => observed_conditions.to_vec(),
    };
    let mut conditions: Vec<Value> = Vec::new();
    let times = TransitionTimes::of(observed_conditions, input.now);
    let mut given = given_conditions(&input, &times);
    for condition in wanted {
        if let Some(index) = given.iter().position(|it| it["type"] == condition["type"]) {
            conditions.push(given.remove(index));
        } else if condition["type"] != input.condition {
            conditions.push(times.add_to(condition));
        }
    }
    conditions.extend(given);
    patch.insert("conditions".to_owned(), Value::Array(conditions));
    let HandlerIdentity { name, digest } = input.handler;
    let handler = json!({"digest": digest.to_string(), "condition": input.condition});
    patch.insert("handlers".to_owned(), json!({name: handler}));
    // Where versions before 0.2 had the only handler.
    if input.observed["handler"]["name"] == name {
        patch.insert("handler".to_owned(), Value::Null);
    }

    // Without a status there is nothing that a patch of nulls could remove.
    let empty = Value::Object(Map::new());
    let before = if input.observed.is_null() {
        &empty
    } else {
        input.observed
    };
    let mut merged = before.clone();
    let patch = without(Value::Object(patch), input.dropped);
    json_patch::merge(&mut merged, &patch);
    let is_empty = patch.as_object().is_some_and(Map::is_empty);
    (!is_empty && !is_same(&merged, before)).then_some(patch)
}

/// Equality, except that a number written as `1.0` equals one stored as `1`.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let is_in_other = |(name, field): (&String, &Value)| {
                other.get(name).is_some_and(|there| is_same(field, there))
            };
            one.len() == other.len() && one.iter().all(is_in_other)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

/// Conditions with those that other handlers have in the observed status.
fn with_others(mut conditions: Vec<Value>, input: &StatusInput<'_>) -> Vec<Value> {
    let handlers = input.observed["handlers"].as_object().into_iter().flatten();
    for (name, handler) in handlers {
        let type_ = &handler["condition"];
        if name == input.handler.name || *type_ == input.condition {
            continue;
        }
        let mut observed = conditions_of(input.observed).iter();
        if let Some(theirs) = observed.find(|it| it["type"] == *type_) {
            conditions.retain(|it| it["type"] != *type_);
            conditions.push(theirs.clone());
        }
    }
    conditions
}

/// The conditions that are given by type: the host's for this handler, and those of the handler, each type once.
fn given_conditions(input: &StatusInput<'_>, times: &TransitionTimes<'_>) -> Vec<Value> {
    let is_ready = input.verdict.reason.is_ready();
    let ready = json!({
        "type": input.condition,
        "status": if is_ready { "True" } else { "False" },
        "reason": input.verdict.reason.as_str(),
        "message": input.verdict.message,
    });
    let mut given = vec![ready];
    for condition in input.conditions {
        let condition = json!({
            "type": condition.type_,
            "status": condition.status.as_str(),
            "reason": condition.reason,
            "message": condition.message,
        });
        // The last one of a type counts.
        given.retain(|it| it["type"] != condition["type"]);
        given.push(condition);
    }
    let complete = |mut condition: Value| {
        if let Some(generation) = input.generation {
            condition["observedGeneration"] = json!(generation);
        }
        times.add_to(condition)
    };
    given.into_iter().map(complete).collect()
}

/// When the conditions of an observed status changed last. There may be thousands, so each is found without a look at the
/// others.
struct TransitionTimes<'a> {
    known: HashMap<[String; 2], &'a Value>,
    now: &'a str,
}

impl<'a> TransitionTimes<'a> {
    fn of(observed: &'a [Value], now: &'a str) -> Self {
        let mut known = HashMap::new();
        for condition in observed {
            if let Some(time) = condition.get("lastTransitionTime") {
                known.entry(decisive(condition)).or_insert(time);
            }
        }
        Self { known, now }
    }

    /// Adds `lastTransitionTime`: the time of the last change of the field `status`, as the API conventions define it. A handler
    /// may give two conditions of a type, or none of a type. They too keep their times.
    fn add_to(&self, mut condition: Value) -> Value {
        let key = decisive(&condition);
        if let Some(fields) = condition.as_object_mut() {
            let kept = self.known.get(&key).map(|time| (*time).clone());
            let time = kept.unwrap_or_else(|| json!(self.now));
            fields.insert("lastTransitionTime".to_owned(), time);
        }
        condition
    }
}

/// What a condition has to have in common with the one before to be the same one.
fn decisive(condition: &Value) -> [String; 2] {
    ["type", "status"].map(|name| {
        condition
            .get(name)
            .map(Value::to_string)
            .unwrap_or_default()
    })
}

fn conditions_of(status: &Value) -> &[Value] {
    status["conditions"].as_array().map_or(&[], Vec::as_slice)
}

/// Whether an observed status has a condition of this type.
#[must_use]
pub fn has_condition(status: &Value, type_: &str) -> bool {
    condition_in(status, type_).is_some()
}

fn condition_in<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    let mut conditions = conditions_of(status).iter();
    conditions.find(|condition| condition["type"] == type_)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{ConditionStatus, dropped_fields};

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn patch_of(observed: &Value, verdict: &Verdict, patch: Option<Value>) -> Option<Value> {
        let patch = patch.and_then(|patch| patch.as_object().cloned());
        status_patch(StatusInput {
            observed,
            verdict,
            handler: HandlerIdentity {
                name: "evc",
                digest: Digest::of(b""),
            },
            condition: "Ready",
            generation: Some(1),
            patch: patch.as_ref(),
            conditions: &[],
            dropped: &BTreeSet::new(),
            now: NOW,
        })
    }

    #[rstest]
    #[case::no_fields(json!({}))]
    #[case::fields(json!({"phase": "Bound", "a.b": {"c[]": [1]}}))]
    #[case::a_field_to_remove(json!({"old": null}))]
    fn a_status_that_keeps_nothing_is_never_written(#[case] patch: Value) {
        let verdict = Verdict::reconciled(1);
        let first = patch_of(&Value::Null, &verdict, Some(patch.clone())).unwrap();
        let patch = status_patch(StatusInput {
            observed: &Value::Null,
            verdict: &verdict,
            handler: HandlerIdentity {
                name: "evc",
                digest: Digest::of(b""),
            },
            condition: "Ready",
            generation: Some(1),
            patch: patch.as_object(),
            conditions: &[],
            dropped: &dropped_fields(&first, &Value::Null),
            now: NOW,
        });
        assert_eq!(patch, None);
    }

    #[rstest]
    #[case::first(None, Reason::Reconciled, false, ConditionChange::Same)]
    #[case::first_with_changes(None, Reason::Reconciled, true, ConditionChange::Transition)]
    #[case::first_failure(None, Reason::Rejected, false, ConditionChange::Transition)]
    #[case::same(
        Some(Reason::Reconciled),
        Reason::Reconciled,
        true,
        ConditionChange::Same
    )]
    #[case::fails(
        Some(Reason::Reconciled),
        Reason::Rejected,
        false,
        ConditionChange::Transition
    )]
    #[case::heals(
        Some(Reason::Rejected),
        Reason::Reconciled,
        false,
        ConditionChange::Transition
    )]
    fn a_parent_without_conditions_is_told_of_news_only(
        #[case] told: Option<Reason>,
        #[case] reason: Reason,
        #[case] has_changes: bool,
        #[case] change: ConditionChange,
    ) {
        let told = told.map(|reason| Verdict::new(reason, "m"));
        let verdict = Verdict::new(reason, "m");
        let found = ConditionChange::since(told.as_ref(), &verdict, has_changes);
        assert_eq!(found, change);
    }

    fn applied(observed: &Value, patch: &Value) -> Value {
        let mut status = observed.clone();
        json_patch::merge(&mut status, patch);
        status
    }

    #[test]
    fn a_new_parent_gets_condition_and_handler() {
        let patch = patch_of(&Value::Null, &Verdict::reconciled(1), None).unwrap();
        assert_eq!(
            patch["conditions"][0],
            json!({
                "type": "Ready", "status": "True", "reason": "Reconciled", "message": "1 child is as desired.",
                "observedGeneration": 1, "lastTransitionTime": NOW,
            })
        );
        assert_eq!(patch["handlers"]["evc"]["condition"], "Ready");
    }

    #[test]
    fn a_status_that_says_it_already_is_not_written() {
        let verdict = Verdict::reconciled(1);
        let own = || Some(json!({"phase": "Bound", "old": null, "share": 1.0}));
        let mut status = applied(
            &Value::Null,
            &patch_of(&Value::Null, &verdict, own()).unwrap(),
        );
        status["share"] = json!(1);
        assert_eq!(patch_of(&status, &verdict, own()), None);
    }

    #[test]
    fn two_handlers_of_one_parent_leave_each_others_conditions_and_settle() {
        let write = |status: &Value, name: &str, condition: &str, own: Value| {
            status_patch(StatusInput {
                observed: status,
                verdict: &Verdict::reconciled(1),
                handler: HandlerIdentity {
                    name,
                    digest: Digest::of(b""),
                },
                condition,
                generation: Some(1),
                patch: own.as_object(),
                conditions: &[],
                dropped: &BTreeSet::new(),
                now: NOW,
            })
        };
        // This one replaces all conditions, as far as they are its own.
        let own = json!({"conditions": [{"type": "Mine", "status": "True"}]});
        let mut status =
            json!({"handler": {"name": "a"}, "conditions": [{"type": "Old", "status": "True"}]});
        for _ in 0..2 {
            for (name, condition, own) in [("a", "Ready", own.clone()), ("b", "Synced", json!({}))]
            {
                if let Some(patch) = write(&status, name, condition, own) {
                    json_patch::merge(&mut status, &patch);
                }
            }
        }
        let conditions = status["conditions"].as_array().unwrap().iter();
        let mut types: Vec<_> = conditions.map(|it| it["type"].as_str().unwrap()).collect();
        types.sort_unstable();
        assert_eq!(types, ["Mine", "Ready", "Synced"]);
        assert_eq!(status["handler"], Value::Null);
        assert_eq!(status["handlers"]["b"]["condition"], "Synced");
        assert_eq!(write(&status, "a", "Ready", own), None);
        assert_eq!(write(&status, "b", "Synced", json!({})), None);
    }

    #[test]
    fn conditions_of_a_handler_are_merged_by_type() {
        let condition = |type_: &str, status, message: &str| ParentCondition {
            type_: type_.to_owned(),
            status,
            reason: "Because".to_owned(),
            message: message.to_owned(),
        };
        let given = [
            condition("Synced", ConditionStatus::True, "now"),
            condition("New", ConditionStatus::Unknown, "first"),
            condition("New", ConditionStatus::False, "second"),
        ];
        let observed = json!({"conditions": [
            {"type": "Backup", "status": "True"},
            {"type": "Synced", "status": "True", "message": "before", "lastTransitionTime": "early"},
        ]});
        let patch = |observed: &Value| {
            status_patch(StatusInput {
                observed,
                verdict: &Verdict::reconciled(1),
                handler: HandlerIdentity {
                    name: "evc",
                    digest: Digest::of(b""),
                },
                condition: "Ready",
                generation: Some(3),
                patch: None,
                conditions: &given,
                dropped: &BTreeSet::new(),
                now: NOW,
            })
        };
        let written = patch(&observed).unwrap();
        let conditions = written["conditions"].as_array().unwrap();
        let types: Vec<_> = conditions
            .iter()
            .map(|it| it["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["Backup", "Synced", "Ready", "New"]);
        assert_eq!(
            conditions[1],
            json!({
                "type": "Synced", "status": "True", "reason": "Because", "message": "now",
                "observedGeneration": 3, "lastTransitionTime": "early",
            })
        );
        assert_eq!(conditions[3]["message"], "second");
        assert_eq!(conditions[3]["lastTransitionTime"], NOW);
        assert_eq!(patch(&applied(&observed, &written)), None);
    }

    #[rstest]
    #[case::two_of_a_type(json!([{"type": "A", "status": "True"}, {"type": "A", "status": "False"}]))]
    #[case::without_type_and_status(json!([null, {"reason": "R"}]))]
    #[case::no_objects(json!([1, null, []]))]
    fn odd_conditions_are_written_once(#[case] conditions: Value) {
        let verdict = Verdict::reconciled(1);
        let own = || Some(json!({"conditions": conditions}));
        let first = patch_of(&Value::Null, &verdict, own()).unwrap();
        let mut status = applied(&Value::Null, &first);
        for condition in status["conditions"].as_array_mut().unwrap() {
            if let Some(time) = condition.get_mut("lastTransitionTime") {
                *time = json!("early");
            }
        }
        assert_eq!(patch_of(&status, &verdict, own()), None);
    }

    #[test]
    fn the_transition_time_changes_with_the_status_only() {
        let early = json!({"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "early"}]});
        let failed = Verdict::new(Reason::PermanentFailure, "no");
        let still_false = patch_of(&early, &failed, None).unwrap();
        assert_eq!(still_false["conditions"][0]["lastTransitionTime"], "early");
        let now_true = patch_of(&early, &Verdict::reconciled(0), None).unwrap();
        assert_eq!(now_true["conditions"][0]["lastTransitionTime"], NOW);
    }

    #[test]
    fn conditions_of_others_are_kept_in_place() {
        let observed = json!({"conditions": [
            {"type": "Ready", "status": "False"}, {"type": "Backup", "status": "True", "lastTransitionTime": "t"},
        ]});
        let patch = patch_of(&observed, &Verdict::reconciled(1), None).unwrap();
        assert_eq!(patch["conditions"][0]["status"], "True");
        assert_eq!(patch["conditions"][1], observed["conditions"][1]);
    }

    #[test]
    fn a_handler_adds_conditions_but_not_ready_and_not_its_identity() {
        let own = json!({
            "conditions": [{"type": "Ready", "status": "Maybe"}, {"type": "Resizing", "status": "True"}],
            "handlers": {"evc": {"condition": "Other"}},
            "size": "1G",
        });
        let patch = patch_of(&Value::Null, &Verdict::reconciled(1), Some(own)).unwrap();
        assert_eq!(patch["conditions"][0]["status"], "True");
        assert_eq!(
            patch["conditions"][1],
            json!({"type": "Resizing", "status": "True", "lastTransitionTime": NOW})
        );
        assert_eq!(patch["handlers"]["evc"]["condition"], "Ready");
        assert_eq!(patch["size"], "1G");
    }

    #[rstest]
    #[case::no_status(json!(null), None)]
    #[case::no_condition(json!({"conditions": [{"type": "Bound", "reason": "Denied"}]}), None)]
    #[case::ready(json!({"conditions": [{"type": "Ready", "reason": "Reconciled"}]}), None)]
    #[case::waiting(json!({"conditions": [{"type": "Ready", "reason": "Waiting"}]}), None)]
    #[case::denied(json!({"conditions": [{"type": "Ready", "reason": "Denied"}]}), Some(Reason::Denied))]
    #[case::conflict(json!({"conditions": [{"type": "Ready", "reason": "Conflict"}]}), Some(Reason::Conflict))]
    #[case::another_hosts(json!({"conditions": [{"type": "Ready", "reason": "Failed"}]}), None)]
    fn a_status_tells_a_failure_or_none(#[case] status: Value, #[case] told: Option<Reason>) {
        assert_eq!(reported_failure(&status, "Ready"), told);
    }

    #[rstest]
    #[case::first_verdict(json!(null), Reason::Reconciled, "m", ConditionChange::Transition)]
    #[case::ready_again(json!({"type": "Ready", "reason": "Reconciled", "message": "x"}), Reason::Reconciled, "m", ConditionChange::Same)]
    #[case::same_failure(json!({"type": "Ready", "reason": "Denied", "message": "m"}), Reason::Denied, "m", ConditionChange::Same)]
    #[case::failure_says_more(json!({"type": "Ready", "reason": "Denied", "message": "x"}), Reason::Denied, "m", ConditionChange::Transition)]
    #[case::other_reason(json!({"type": "Ready", "reason": "Denied", "message": "m"}), Reason::Rejected, "m", ConditionChange::Transition)]
    fn only_news_is_a_transition(
        #[case] before: Value,
        #[case] reason: Reason,
        #[case] message: &str,
        #[case] observed: ConditionChange,
    ) {
        let status = json!({"conditions": [before]});
        assert_eq!(
            ConditionChange::of(&Verdict::new(reason, message), &status, "Ready"),
            observed
        );
    }
}
