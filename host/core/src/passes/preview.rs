use std::collections::BTreeSet;
use std::sync::Arc;

use super::children::ChildRef;
use super::status::reported_failure;
use super::verdict::{Reason, Verdict};
use crate::{Change, Key, Object};

/// What a module would do if it served the handler.
#[derive(Clone, Debug)]
pub struct Preview {
    /// How many parents it was called for.
    pub parents: usize,
    /// What would become of children, by parent, kind and name.
    pub changes: Vec<ChildChange>,
    /// The parents that would fail and do not fail now.
    pub failures: Vec<NewFailure>,
    /// How many parents would fail and fail already.
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

/// A parent that would fail and does not fail now.
#[derive(Clone, Debug)]
pub struct NewFailure {
    /// The parent.
    pub parent: Key,
    /// What its condition `Ready` would say.
    pub verdict: Verdict,
}

/// What would become of one parent's children.
#[derive(Clone, Debug, Default)]
pub struct ParentPreview {
    /// What would become of children, in the order of the steps.
    pub changes: Vec<(ChildRef, Change)>,
    /// The first thing that would go wrong. Nothing would be deleted after it.
    pub failure: Option<Verdict>,
}

impl Preview {
    /// The preview made of the outcomes of all parents, in the order of the parents. `condition` is the type of the handler's.
    #[must_use]
    pub fn of(outcomes: Vec<(Arc<Object>, ParentPreview)>, condition: &str) -> Self {
        let mut preview = Self {
            parents: outcomes.len(),
            changes: Vec::new(),
            failures: Vec::new(),
            already_failing: 0,
        };
        let mut creations = Creations::default();
        for (parent, outcome) in outcomes {
            let ParentPreview {
                mut changes,
                mut failure,
            } = outcome;
            if let Some(lost) = creations.claim(&mut changes) {
                failure.get_or_insert_with(|| Verdict::taken(&lost));
            }
            changes.sort_by(|(one, _), (other, _)| one.cmp(other));
            let key = parent.key();
            let named = changes.into_iter().map(|(child, change)| ChildChange {
                parent: key.clone(),
                child,
                change,
            });
            preview.changes.extend(named);
            match (failure, failure_of(&parent, condition)) {
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

/// How large a status may be to be looked at, in bytes of memory once it is parsed.
const LARGEST_STATUS: usize = 1 << 20;

fn failure_of(parent: &Object, condition: &str) -> Option<Reason> {
    parent.status_memory(LARGEST_STATUS)?;
    reported_failure(&parent.status(), condition)
}

/// The names at which parents of one preview would create children.
///
/// A dry run leaves nothing behind, so two parents that would create the same child both succeed. In a real
/// pass the first one gets the name, and the other finds a foreign object there.
#[derive(Clone, Debug, Default)]
struct Creations(BTreeSet<ChildRef>);

impl Creations {
    /// Takes what another parent would change, and drops its creations at names that an earlier parent has.
    /// Gives the first of them.
    fn claim(&mut self, changes: &mut Vec<(ChildRef, Change)>) -> Option<ChildRef> {
        let mut first_lost = None;
        changes.retain(|(child, change)| {
            let is_free = match change {
                Change::Create { .. } => self.0.insert(child.clone()),
                Change::Update { .. } | Change::Delete { .. } => true,
            };
            if !is_free {
                first_lost.get_or_insert_with(|| child.clone());
            }
            is_free
        });
        first_lost
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Kind, Reason};

    fn parent(name: &str, reason: &str) -> Arc<Object> {
        let kind = Kind::new("v1", "Pod").unwrap();
        let object = json!({
            "metadata": {"name": name, "namespace": "ns"},
            "status": {"conditions": [{"type": "Ready", "reason": reason}]},
        });
        Arc::new(Object::parse(&kind, &object.to_string()).unwrap())
    }

    fn named(name: &str) -> (ChildRef, Object) {
        let kind = Kind::new("v1", "ConfigMap").unwrap();
        let object = json!({"metadata": {"name": name, "namespace": "ns"}}).to_string();
        let object = Object::parse(&kind, &object).unwrap();
        let key = object.key();
        (ChildRef { kind, key }, object)
    }

    fn making(names: &[&str]) -> ParentPreview {
        let made = names.iter().map(|name| {
            let (child, object) = named(name);
            (child, Change::creation(&object))
        });
        ParentPreview {
            changes: made.collect(),
            failure: None,
        }
    }

    fn failing(reason: Reason) -> ParentPreview {
        ParentPreview {
            changes: Vec::new(),
            failure: Some(Verdict::new(reason, "m")),
        }
    }

    #[test]
    fn a_failure_is_new_unless_the_parent_tells_one_already() {
        let preview = Preview::of(
            vec![
                (parent("a", "Reconciled"), failing(Reason::Trapped)),
                (parent("b", "Denied"), failing(Reason::Trapped)),
                (parent("c", "Waiting"), failing(Reason::PermanentFailure)),
                (parent("d", "Denied"), making(&[])),
            ],
            "Ready",
        );
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
        let preview = Preview::of(
            vec![
                (parent("a", "Reconciled"), making(&["c", "b"])),
                (parent("b", "Reconciled"), making(&["a"])),
            ],
            "Ready",
        );
        let names: Vec<_> = preview
            .changes
            .iter()
            .map(|change| format!("{} {}", change.parent, change.child.key))
            .collect();
        assert_eq!(names, ["ns/a ns/b", "ns/a ns/c", "ns/b ns/a"]);
    }

    #[test]
    fn of_two_parents_that_would_make_the_same_child_the_second_would_fail() {
        let preview = Preview::of(
            vec![
                (parent("a", "Reconciled"), making(&["shared"])),
                (parent("b", "Reconciled"), making(&["own", "shared"])),
            ],
            "Ready",
        );
        assert_eq!(preview.changes.len(), 2);
        let [failure] = preview.failures.as_slice() else {
            panic!("{:?}", preview.failures);
        };
        assert_eq!(failure.parent.to_string(), "ns/b");
        assert_eq!(failure.verdict.reason, Reason::Conflict);
    }

    fn child(name: &str) -> ChildRef {
        named(name).0
    }

    fn creating(name: &str) -> (ChildRef, Change) {
        (child(name), Change::Create { after: json!({}) })
    }

    fn updating(name: &str) -> (ChildRef, Change) {
        let (before, after) = (Value::Null, json!({}));
        (child(name), Change::Update { before, after })
    }

    fn deleting(name: &str) -> (ChildRef, Change) {
        (child(name), Change::Delete { before: json!({}) })
    }

    #[rstest]
    #[case::another_name(vec![creating("b")], &["b"], None)]
    #[case::the_same_name(vec![creating("b"), creating("a")], &["b"], Some("a"))]
    #[case::an_update_of_it(vec![updating("a")], &["a"], None)]
    #[case::a_deletion_of_it(vec![deleting("a")], &["a"], None)]
    fn the_first_parent_gets_a_contested_name(
        #[case] mut second: Vec<(ChildRef, Change)>,
        #[case] kept: &[&str],
        #[case] lost: Option<&str>,
    ) {
        let mut creations = Creations::default();
        assert_eq!(creations.claim(&mut vec![creating("a")]), None);
        assert_eq!(creations.claim(&mut second), lost.map(child));
        let names: Vec<_> = second.iter().map(|(child, _)| &*child.key.name).collect();
        assert_eq!(names, kept);
    }
}
