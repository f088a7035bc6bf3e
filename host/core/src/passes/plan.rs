use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::children::{Checked, Child, ChildRef, Children};
use crate::{
    APPLIED_ANNOTATION, ChildUpdate, Digest, Grant, Key, Kind, Object, has_desired_fields,
    projection,
};

/// One thing to do for one child. A child that is as desired needs none.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// The child was not observed. Create it, but only if no object of its name exists.
    Create(&'a Child),
    /// The child was observed and differs. Apply it to the object that was observed, and to no other.
    Update {
        /// The desired child.
        child: &'a Child,
        /// The object that was observed.
        observed: &'a Object,
    },
    /// The child was observed and is desired otherwise, and its kind is not changed in place. Delete the object that was observed,
    /// and no other. When it is gone, another plan creates the child.
    Recreate {
        /// The desired child.
        child: &'a Child,
        /// The object that was observed.
        observed: &'a Object,
    },
    /// The child is desired, but the observed object is being deleted. When it is gone, another plan creates the child.
    AwaitDeletion(ChildRef),
    /// The child was observed and is not desired. Delete the object that was observed, and no other.
    Delete {
        /// The child.
        child: ChildRef,
        /// The uid of the object that may be deleted.
        uid: String,
    },
}

/// The steps that make the observed children of a parent the desired ones, deletions last.
///
/// Of a parent that is being deleted, children that are granted to outlive it are not deleted: that is the
/// administrator's decision, and a handler that desires nothing in the end does not change it.
///
/// `accepted` has the marks of children that the API server changes when they are applied, in a way that its record of
/// applied fields does not show. A child that is observed with the same mark is as desired.
#[must_use]
pub fn plan<'a>(
    desired: &'a Children<Checked>,
    observed: &'a [(Kind, Arc<Object>)],
    accepted: &HashMap<ChildRef, Digest>,
    parent: &Object,
    grant: &Grant,
) -> Vec<Step<'a>> {
    let mut left = Views::of(observed);
    let mut steps = Vec::new();
    let mut recreated = Vec::new();
    for child in desired.iter() {
        let name = child.name();
        match left.take(&name) {
            None => steps.push(Step::Create(child)),
            Some(object) if object.is_deleting() => steps.push(Step::AwaitDeletion(name)),
            Some(object) if is_as_desired(child, object, accepted.get(&name)) => {}
            Some(observed) => match grant.update(&child.kind) {
                ChildUpdate::Never => {}
                ChildUpdate::Recreate { .. } if !is_of_this_state(child, observed) => {
                    recreated.push((child, observed));
                }
                // Of a child that somebody changed, what was applied is restored.
                ChildUpdate::InPlace | ChildUpdate::Recreate { .. } => {
                    steps.push(Step::Update { child, observed });
                }
            },
        }
    }
    for kept in &desired.kept {
        left.take(kept);
    }
    let recreated = within_unavailable(recreated, &steps, grant);
    steps.extend(recreated);
    let is_orphaned = |child: &ChildRef| parent.is_deleting() && grant.keeps(&child.kind);
    let undesired = left
        .rest()
        .filter(|(child, object)| !object.is_deleting() && !is_orphaned(child));
    steps.extend(undesired.map(|(child, object)| Step::Delete {
        child,
        uid: object.meta.uid.clone(),
    }));
    steps
}

/// The children that may be deleted now to be made again: with those that are missing or being deleted already, no more of a
/// kind than its policy says.
fn within_unavailable<'a>(
    recreated: Vec<(&'a Child, &'a Object)>,
    steps: &[Step<'a>],
    grant: &Grant,
) -> Vec<Step<'a>> {
    let mut unavailable: HashMap<Kind, usize> = HashMap::new();
    for step in steps {
        let kind = match step {
            Step::Create(child) => &child.kind,
            Step::AwaitDeletion(child) => &child.kind,
            Step::Update { .. } | Step::Recreate { .. } | Step::Delete { .. } => continue,
        };
        *unavailable.entry(kind.clone()).or_default() += 1;
    }
    let mut within = Vec::new();
    for (child, observed) in recreated {
        let most = match grant.update(&child.kind) {
            ChildUpdate::Recreate { max_unavailable } => max_unavailable,
            ChildUpdate::InPlace | ChildUpdate::Never => continue,
        };
        let count = unavailable.entry(child.kind.clone()).or_default();
        if *count < most {
            *count += 1;
            within.push(Step::Recreate { child, observed });
        }
    }
    within
}

/// Whether the desired state was applied to an object, whatever became of it since.
fn is_of_this_state(child: &Child, object: &Object) -> bool {
    let applied = object.meta.annotations.get(APPLIED_ANNOTATION);
    applied == Some(child.digest.to_string().as_str())
}

/// The observed children, of which one may be seen in several versions of its kind.
struct Views<'a>(BTreeMap<ObjectId, Vec<(&'a Kind, &'a Object)>>);

/// Group, kind and key.
type ObjectId = (String, String, Key);

fn object_id(kind: &Kind, key: Key) -> ObjectId {
    (kind.group().to_owned(), kind.kind.clone(), key)
}

impl<'a> Views<'a> {
    fn of(observed: &'a [(Kind, Arc<Object>)]) -> Self {
        let mut views: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (kind, object) in observed {
            let id = object_id(kind, object.key());
            views.entry(id).or_default().push((kind, &**object));
        }
        Self(views)
    }

    /// Removes a child. Gives the view in its own version, if there is one.
    fn take(&mut self, child: &ChildRef) -> Option<&'a Object> {
        let views = self.0.remove(&object_id(&child.kind, child.key.clone()))?;
        let own = views.iter().find(|(kind, _)| **kind == child.kind);
        own.or(views.first()).map(|(_, object)| *object)
    }

    /// The children that were not removed, each in one view.
    fn rest(self) -> impl Iterator<Item = (ChildRef, &'a Object)> {
        let first = |views: Vec<(&'a Kind, &'a Object)>| views.into_iter().next();
        self.0
            .into_values()
            .filter_map(first)
            .map(|(kind, object)| {
                let child = ChildRef {
                    kind: kind.clone(),
                    key: object.key(),
                };
                (child, object)
            })
    }
}

fn is_as_desired(child: &Child, object: &Object, accepted: Option<&Digest>) -> bool {
    has_desired_fields(&child.body, child.digest, &child.field_types, object)
        || accepted.is_some_and(|mark| mark_of(child, object).as_ref() == Some(mark))
}

/// The mark of what the API server made of an applied child; None if the child is as desired.
#[must_use]
pub fn accepted_mark(child: &Child, answer: &Object) -> Option<Digest> {
    let is_as_desired = is_as_desired(child, answer, None);
    (!is_as_desired).then(|| mark_of(child, answer)).flatten()
}

fn mark_of(child: &Child, observed: &Object) -> Option<Digest> {
    // The text came from the API server and was read once already.
    let observed = serde_json::from_str::<Value>(observed.text()).ok()?;
    let made = projection(&child.body, &observed);
    Some(Digest::of(format!("{} {made}", child.digest).as_bytes()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::passes::check::check;
    use crate::{ChildPolicy, GrantRequest, KeptChild, OnParentDelete};

    fn config_map() -> Kind {
        Kind::new("v1", "ConfigMap").unwrap()
    }

    fn grant(on_parent_delete: OnParentDelete) -> Grant {
        let request = GrantRequest {
            children: vec![ChildPolicy::new(config_map(), on_parent_delete)],
            ..GrantRequest::new("evc", &Kind::new("v1", "Pod").unwrap())
        };
        request.grant().unwrap()
    }

    fn parent(deletion: Option<&str>) -> Object {
        let metadata = json!({
            "name": "p", "namespace": "ns", "uid": "u", "deletionTimestamp": deletion,
        });
        let text = json!({"metadata": metadata}).to_string();
        Object::parse(&Kind::new("v1", "Pod").unwrap(), &text).unwrap()
    }

    fn checked(parts: &[(&str, &str)]) -> Children<Checked> {
        let texts = parts.iter().map(|(name, value)| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}}).to_string()
        });
        let desired = Children::desired(texts.collect());
        check(
            desired,
            &[],
            &[],
            &parent(None),
            &grant(OnParentDelete::Delete),
        )
        .unwrap()
    }

    /// The steps for a parent that stays.
    fn planned(
        desired: &Children<Checked>,
        observed: &[(Kind, Arc<Object>)],
        accepted: &HashMap<ChildRef, Digest>,
    ) -> Vec<String> {
        let grant = grant(OnParentDelete::Delete);
        in_words(&plan(desired, observed, accepted, &parent(None), &grant))
    }

    /// The object as the API server would hold it once the child was applied, changed by `edit`.
    fn applied(child: &Child, edit: impl Fn(&mut Value)) -> (Kind, Arc<Object>) {
        let mut body = child.body.clone();
        body["metadata"]["uid"] = json!("child-uid");
        body["metadata"]["resourceVersion"] = json!("7");
        edit(&mut body);
        (
            child.kind.clone(),
            Arc::new(Object::parse(&child.kind, &body.to_string()).unwrap()),
        )
    }

    fn in_words(steps: &[Step<'_>]) -> Vec<String> {
        let say = |step: &Step<'_>| match step {
            Step::Create(child) => format!("create {}", child.key),
            Step::Update { child, observed } => {
                format!("update {} {}", child.key, observed.meta.uid)
            }
            Step::Recreate { child, observed } => {
                format!("recreate {} {}", child.key, observed.meta.uid)
            }
            Step::AwaitDeletion(child) => format!("await {}", child.key),
            Step::Delete { child, uid } => format!("delete {} {uid}", child.key),
        };
        steps.iter().map(say).collect()
    }

    #[rstest]
    #[case::as_it_was(|_: &mut Value| {}, &[])]
    #[case::others_added_something(|o: &mut Value| o["data"]["b"] = json!("x"), &[])]
    #[case::edited(|o: &mut Value| o["data"]["a"] = json!("x"), &["update ns/a child-uid"])]
    #[case::label_gone(|o: &mut Value| o["metadata"]["labels"] = json!({}), &["update ns/a child-uid"])]
    #[case::owner_gone(|o: &mut Value| o["metadata"]["ownerReferences"] = json!([]), &["update ns/a child-uid"])]
    #[case::applied_from_another_desire(
        |o: &mut Value| o["metadata"]["annotations"]["handler-host.dev/applied"] = json!("sha256:0"),
        &["update ns/a child-uid"])]
    #[case::being_deleted(|o: &mut Value| o["metadata"]["deletionTimestamp"] = json!("now"), &["await ns/a"])]
    fn an_observed_child_is_changed_only_where_it_differs(
        #[case] edit: fn(&mut Value),
        #[case] steps: &[&str],
    ) {
        let desired = checked(&[("a", "1")]);
        let observed = [applied(desired.iter().next().unwrap(), edit)];
        assert_eq!(planned(&desired, &observed, &HashMap::new()), steps);
    }

    #[test]
    fn missing_children_are_made_and_undesired_ones_deleted_last() {
        let before = checked(&[("a", "1"), ("b", "1")]);
        let observed: Vec<_> = before.iter().map(|child| applied(child, |_| {})).collect();
        let desired = checked(&[("c", "1"), ("b", "1")]);
        let steps = planned(&desired, &observed, &HashMap::new());
        assert_eq!(steps, ["create ns/c", "delete ns/a child-uid"]);
    }

    #[test]
    fn what_the_server_makes_of_a_child_is_accepted_until_it_changes_again() {
        let desired = checked(&[("a", "1")]);
        let child = desired.iter().next().unwrap();
        let answer = applied(child, |o| o["data"]["a"] = json!("rewritten"));
        let mark = accepted_mark(child, &answer.1).unwrap();
        let accepted = HashMap::from([(child.name(), mark)]);
        let seen_again = std::slice::from_ref(&answer);
        assert_eq!(planned(&desired, seen_again, &accepted), [""; 0]);

        let edited = applied(child, |o| o["data"]["a"] = json!("edited"));
        assert_eq!(
            planned(&desired, &[edited], &accepted),
            ["update ns/a child-uid"]
        );
        let other_desire = checked(&[("a", "2")]);
        assert_eq!(
            planned(&other_desire, &[answer], &accepted),
            ["update ns/a child-uid"]
        );
    }

    #[rstest]
    #[case::changed_in_place(ChildUpdate::InPlace, &["update ns/a child-uid", "update ns/b child-uid"])]
    #[case::left(ChildUpdate::Never, &[])]
    #[case::made_again_one_by_one(
        ChildUpdate::Recreate { max_unavailable: 1 },
        &["recreate ns/a child-uid"]
    )]
    #[case::made_again_at_once(
        ChildUpdate::Recreate { max_unavailable: 5 },
        &["recreate ns/a child-uid", "recreate ns/b child-uid"]
    )]
    fn what_becomes_of_a_child_that_is_desired_otherwise_is_the_administrators_decision(
        #[case] update: ChildUpdate,
        #[case] steps: &[&str],
    ) {
        let before = checked(&[("a", "1"), ("b", "1")]);
        let observed: Vec<_> = before.iter().map(|child| applied(child, |_| {})).collect();
        let desired = checked(&[("a", "2"), ("b", "2")]);
        assert_eq!(planned_with(&desired, &observed, update), steps);
    }

    #[rstest]
    #[case::one_is_missing(&["b"], None, &["create ns/a"])]
    #[case::one_is_being_deleted(&["a", "b"], Some("a"), &["await ns/a"])]
    fn no_more_children_are_unavailable_than_may_be(
        #[case] there: &[&str],
        #[case] deleting: Option<&str>,
        #[case] steps: &[&str],
    ) {
        let before = checked(&[("a", "1"), ("b", "1")]);
        let there = before
            .iter()
            .filter(|child| there.contains(&&*child.key.name));
        let observed: Vec<_> = there
            .map(|child| {
                applied(child, |object| {
                    if deleting == Some(&*child.key.name) {
                        object["metadata"]["deletionTimestamp"] = json!("now");
                    }
                })
            })
            .collect();
        let desired = checked(&[("a", "2"), ("b", "2")]);
        let update = ChildUpdate::Recreate { max_unavailable: 1 };
        assert_eq!(planned_with(&desired, &observed, update), steps);
    }

    #[test]
    fn a_child_that_somebody_changed_is_restored_and_not_made_again() {
        let desired = checked(&[("a", "1")]);
        let edited = applied(desired.iter().next().unwrap(), |it| {
            it["data"]["a"] = json!("x");
        });
        let update = ChildUpdate::Recreate { max_unavailable: 1 };
        let steps = planned_with(&desired, &[edited], update);
        assert_eq!(steps, ["update ns/a child-uid"]);
    }

    #[test]
    fn a_child_that_is_kept_is_neither_changed_nor_deleted() {
        let before = checked(&[("a", "1"), ("b", "1")]);
        let observed: Vec<_> = before.iter().map(|child| applied(child, |_| {})).collect();
        let kept = |name: &str| KeptChild {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: None,
            name: name.to_owned(),
        };
        let check = |kept: &[KeptChild]| {
            let grant = grant(OnParentDelete::Delete);
            let desired = Children::desired(Vec::new());
            check(desired, kept, &observed, &parent(None), &grant)
        };
        let desired = check(&[kept("a")]).unwrap();
        let steps = planned(&desired, &observed, &HashMap::new());
        assert_eq!(steps, ["delete ns/b child-uid"]);
        for (kept, told) in [
            (
                vec![kept("c")],
                "keeps v1 ConfigMap ns/c, which is not among the parent's children",
            ),
            (vec![kept("a"), kept("a")], "twice"),
        ] {
            let denied = check(&kept).unwrap_err().to_string();
            assert!(denied.contains(told), "{denied}");
        }
    }

    fn planned_with(
        desired: &Children<Checked>,
        observed: &[(Kind, Arc<Object>)],
        update: ChildUpdate,
    ) -> Vec<String> {
        let mut grant = grant(OnParentDelete::Delete);
        for child in &mut grant.children {
            child.policy.update = update;
        }
        in_words(&plan(
            desired,
            observed,
            &HashMap::new(),
            &parent(None),
            &grant,
        ))
    }

    #[rstest]
    #[case::it_stays(None, OnParentDelete::Delete, &["delete ns/a child-uid"])]
    #[case::it_stays_and_the_child_may_too(None, OnParentDelete::Orphan, &["delete ns/a child-uid"])]
    #[case::it_goes(Some("now"), OnParentDelete::Delete, &["delete ns/a child-uid"])]
    #[case::it_goes_and_the_child_stays(Some("now"), OnParentDelete::Orphan, &[])]
    fn an_undesired_child_is_deleted_unless_it_outlives_a_parent_that_goes(
        #[case] deletion: Option<&str>,
        #[case] on_parent_delete: OnParentDelete,
        #[case] steps: &[&str],
    ) {
        let before = checked(&[("a", "1")]);
        let observed = [applied(before.iter().next().unwrap(), |_| {})];
        let (desired, accepted) = (checked(&[]), HashMap::new());
        let (parent, grant) = (parent(deletion), grant(on_parent_delete));
        let planned = plan(&desired, &observed, &accepted, &parent, &grant);
        assert_eq!(in_words(&planned), steps);
    }
}
