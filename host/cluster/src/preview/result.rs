use std::collections::BTreeSet;
use std::sync::Arc;

use handler_host_core::{Change, ChildRef, Key, Object, Verdict, failure_told};

use super::dry_run::Outcome;

/// What a candidate would do, had it its way.
#[derive(Clone, Debug)]
pub struct Preview {
    /// How many parents it was called for.
    pub parents: usize,
    /// What would become of children, by parent, kind and name.
    pub changes: Vec<ChildChange>,
    /// Parents that would fail and do not yet.
    pub failures: Vec<NewFailure>,
    /// How many would fail and say already that they do.
    pub already_failing: usize,
}

/// What would become of one child.
#[derive(Clone, Debug)]
pub struct ChildChange {
    /// Its parent.
    pub parent: Key,
    /// The child.
    pub child: ChildRef,
    /// What would become of it.
    pub change: Change,
}

/// A parent that would fail and does not yet.
#[derive(Clone, Debug)]
pub struct NewFailure {
    /// The parent.
    pub parent: Key,
    /// What its condition would say.
    pub verdict: Verdict,
}

impl Preview {
    /// What all outcomes come to. They are in the parents' order.
    pub(super) fn of(outcomes: Vec<(Arc<Object>, Outcome)>) -> Self {
        let mut preview = Self {
            parents: outcomes.len(),
            changes: Vec::new(),
            failures: Vec::new(),
            already_failing: 0,
        };
        let mut made = BTreeSet::new();
        for (parent, outcome) in outcomes {
            let Outcome {
                mut changes,
                mut failure,
            } = outcome;
            // A dry run leaves nothing behind: of two parents that would make the same child each could.
            changes.retain(|(child, change)| {
                let is_free = match change {
                    Change::Create { .. } => made.insert(child.clone()),
                    Change::Update { .. } | Change::Delete { .. } => true,
                };
                if !is_free {
                    failure.get_or_insert_with(|| Verdict::foreign(child));
                }
                is_free
            });
            changes.sort_by(|(one, _), (other, _)| one.cmp(other));
            let key = parent.key();
            let named = changes.into_iter().map(|(child, change)| ChildChange {
                parent: key.clone(),
                child,
                change,
            });
            preview.changes.extend(named);
            match (failure, failure_told(&parent.status())) {
                (None, _) => {}
                (Some(verdict), None) => preview.failures.push(NewFailure {
                    parent: key,
                    verdict,
                }),
                (Some(_), Some(_)) => preview.already_failing += 1,
            }
        }
        preview
    }
}

#[cfg(test)]
mod tests {
    use handler_host_core::{Kind, Reason};
    use serde_json::json;

    use super::*;

    fn parent(name: &str, reason: &str) -> Arc<Object> {
        let kind = Kind::new("v1", "Pod").unwrap();
        let object = json!({
            "metadata": {"name": name, "namespace": "ns"},
            "status": {"conditions": [{"type": "Ready", "reason": reason}]},
        });
        Arc::new(Object::parse(&kind, &object.to_string()).unwrap())
    }

    fn child(name: &str) -> (ChildRef, Object) {
        let kind = Kind::new("v1", "ConfigMap").unwrap();
        let object = json!({"metadata": {"name": name, "namespace": "ns"}}).to_string();
        let object = Object::parse(&kind, &object).unwrap();
        let key = object.key();
        (ChildRef { kind, key }, object)
    }

    fn making(names: &[&str]) -> Outcome {
        let made = names.iter().map(|name| {
            let (child, object) = child(name);
            (child, Change::creation(&object))
        });
        Outcome {
            changes: made.collect(),
            failure: None,
        }
    }

    fn failing(reason: Reason) -> Outcome {
        Outcome {
            changes: Vec::new(),
            failure: Some(Verdict::new(reason, "m")),
        }
    }

    #[test]
    fn a_failure_is_new_unless_the_parent_tells_one_already() {
        let preview = Preview::of(vec![
            (parent("a", "Reconciled"), failing(Reason::Trapped)),
            (parent("b", "Denied"), failing(Reason::Trapped)),
            (parent("c", "Waiting"), failing(Reason::PermanentFailure)),
            (parent("d", "Denied"), making(&[])),
        ]);
        let new: Vec<_> = preview
            .failures
            .iter()
            .map(|failure| format!("{} {}", failure.parent, failure.verdict.reason.as_str()))
            .collect();
        assert_eq!(new, ["ns/a Trapped", "ns/c PermanentFailure"]);
        assert_eq!((preview.parents, preview.already_failing), (4, 1));
    }

    #[test]
    fn changes_are_told_by_parent_kind_and_name() {
        let preview = Preview::of(vec![
            (parent("a", "Reconciled"), making(&["c", "b"])),
            (parent("b", "Reconciled"), making(&["a"])),
        ]);
        let names: Vec<_> = preview
            .changes
            .iter()
            .map(|change| format!("{} {}", change.parent, change.child.key))
            .collect();
        assert_eq!(names, ["ns/a ns/b", "ns/a ns/c", "ns/b ns/a"]);
    }

    #[test]
    fn of_two_parents_that_would_make_the_same_child_the_second_would_fail() {
        let preview = Preview::of(vec![
            (parent("a", "Reconciled"), making(&["shared"])),
            (parent("b", "Reconciled"), making(&["own", "shared"])),
        ]);
        assert_eq!(preview.changes.len(), 2);
        let [failure] = preview.failures.as_slice() else {
            panic!("{:?}", preview.failures);
        };
        assert_eq!(failure.parent.to_string(), "ns/b");
        assert_eq!(failure.verdict.reason, Reason::Conflict);
    }
}
