use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::children::{Checked, Child, Children};
use crate::{Digest, Key, Kind, Object, projection, stands};

/// A child, named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildRef {
    /// Its kind.
    pub kind: Kind,
    /// Where it lives.
    pub key: Key,
}

/// One thing to do for one child. A child that is as it should be needs none.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// Not observed: make it, but only if no object of that name exists.
    Create(&'a Child),
    /// Observed and different: apply it to that very object.
    Update {
        /// The desired child.
        child: &'a Child,
        /// The object it goes to.
        observed: &'a Object,
    },
    /// Desired, but the observed one is being deleted: its going is news that leads to `Create`.
    AwaitDeletion(ChildRef),
    /// Observed but no longer desired: delete that very object.
    Delete {
        /// The child.
        child: ChildRef,
        /// The uid of the object that may be deleted.
        uid: String,
    },
}

/// What makes the observed children the desired ones, deletions last.
///
/// `accepted` holds, for children that the API server changes on their way in (a webhook, a write-only
/// field), the mark of what it made of them: seen again unchanged, they are as they should be.
#[must_use]
pub fn plan<'a>(
    desired: &'a Children<Checked>,
    observed: &'a [(Kind, Arc<Object>)],
    accepted: &HashMap<ChildRef, Digest>,
) -> Vec<Step<'a>> {
    let mut left: BTreeMap<ChildRef, &'a Object> = observed
        .iter()
        .map(|(kind, object)| {
            (
                ChildRef {
                    kind: kind.clone(),
                    key: object.key(),
                },
                &**object,
            )
        })
        .collect();
    let mut steps = Vec::new();
    for child in desired.iter() {
        let name = child.name();
        match left.remove(&name) {
            None => steps.push(Step::Create(child)),
            Some(object) if object.is_deleting() => steps.push(Step::AwaitDeletion(name)),
            Some(object) if is_as_desired(child, object, accepted.get(&name)) => {}
            Some(observed) => steps.push(Step::Update { child, observed }),
        }
    }
    let undesired = left.into_iter().filter(|(_, object)| !object.is_deleting());
    steps.extend(undesired.map(|(child, object)| Step::Delete {
        child,
        uid: object.meta.uid.clone(),
    }));
    steps
}

fn is_as_desired(child: &Child, object: &Object, accepted: Option<&Digest>) -> bool {
    // The text came from the API server and was read once already.
    let Ok(observed) = serde_json::from_str::<Value>(object.text()) else {
        return false;
    };
    stands(&child.body, &observed)
        || accepted.is_some_and(|mark| *mark == mark_of(child, &observed))
}

/// The mark of what the API server made of an applied child; None if it stands as desired.
#[must_use]
pub fn accepted_mark(child: &Child, answer: &Object) -> Option<Digest> {
    let answered = serde_json::from_str::<Value>(answer.text()).ok()?;
    (!stands(&child.body, &answered)).then(|| mark_of(child, &answered))
}

fn mark_of(child: &Child, observed: &Value) -> Digest {
    let made = projection(&child.body, observed);
    Digest::of(format!("{} {made}", child.digest).as_bytes())
}

impl Child {
    /// The child's kind and key.
    #[must_use]
    pub fn name(&self) -> ChildRef {
        ChildRef {
            kind: self.kind.clone(),
            key: self.key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{ChildGrant, Description, Grant, OnParentDelete, Scope, check};

    fn config_map() -> Kind {
        Kind::new("v1", "ConfigMap").unwrap()
    }

    fn checked(parts: &[(&str, &str)]) -> Children<Checked> {
        let description = Description {
            parent: Kind::new("v1", "Pod").unwrap(),
            children: vec![config_map()],
            has_finalizer: false,
        };
        let grant = Grant::of_description("evc", &description, OnParentDelete::Delete, |_| {
            Scope::Namespaced
        })
        .unwrap();
        assert!(matches!(grant.children[..], [ChildGrant { .. }]));
        let parent = Object::parse(
            &grant.parent,
            r#"{"metadata":{"name":"p","namespace":"ns","uid":"u"}}"#,
        )
        .unwrap();
        let texts = parts.iter().map(|(name, value)| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}}).to_string()
        });
        check(Children::desired(texts.collect()), &parent, &grant).unwrap()
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

    fn spoken(steps: &[Step<'_>]) -> Vec<String> {
        let say = |step: &Step<'_>| match step {
            Step::Create(child) => format!("create {}", child.key),
            Step::Update { child, observed } => {
                format!("update {} {}", child.key, observed.meta.uid)
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
        assert_eq!(spoken(&plan(&desired, &observed, &HashMap::new())), steps);
    }

    #[test]
    fn missing_children_are_made_and_undesired_ones_deleted_last() {
        let before = checked(&[("a", "1"), ("b", "1")]);
        let observed: Vec<_> = before.iter().map(|child| applied(child, |_| {})).collect();
        let desired = checked(&[("c", "1"), ("b", "1")]);
        let steps = plan(&desired, &observed, &HashMap::new());
        assert_eq!(spoken(&steps), ["create ns/c", "delete ns/a child-uid"]);
    }

    #[test]
    fn what_the_server_makes_of_a_child_is_accepted_until_it_changes_again() {
        let desired = checked(&[("a", "1")]);
        let child = desired.iter().next().unwrap();
        let answer = applied(child, |o| o["data"]["a"] = json!("rewritten"));
        let mark = accepted_mark(child, &answer.1).unwrap();
        let accepted = HashMap::from([(child.name(), mark)]);
        assert!(plan(&desired, std::slice::from_ref(&answer), &accepted).is_empty());

        let edited = applied(child, |o| o["data"]["a"] = json!("edited"));
        assert_eq!(
            spoken(&plan(&desired, &[edited], &accepted)),
            ["update ns/a child-uid"]
        );
        let other_desire = checked(&[("a", "2")]);
        assert_eq!(
            spoken(&plan(&other_desire, &[answer], &accepted)),
            ["update ns/a child-uid"]
        );
    }
}
