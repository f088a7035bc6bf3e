use std::time::Duration;

use super::child_policy::{ChildPolicy, ChildUpdate, OnParentDelete};
use super::parent_status::ParentStatus;
use super::selection::ParentSelection;
use crate::objects::is_dns_label;
use crate::{Description, FieldTypes, Kind, Object, RelatedGrant, RelatedPolicy};

/// What a handler may do. The administrator decides it, and every response is checked against it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The handler's name: a DNS label of at most 48 characters, since it is part of labels and field managers.
    pub handler: String,
    /// The kind of its parents.
    pub parent: Kind,
    /// The parents' scope.
    pub parent_scope: Scope,
    /// Which of them.
    pub selection: ParentSelection,
    /// What is written into the parents' status.
    pub parent_status: ParentStatus,
    /// The type of the condition that is written there.
    pub condition: String,
    /// The kinds it may return.
    pub children: Vec<ChildGrant>,
    /// The other objects that it may see.
    pub related: Vec<RelatedGrant>,
    /// The finest time of day that it may be told; None if it may not know the time.
    pub clock: Option<Duration>,
    /// How much it may return.
    pub limits: Limits,
}

/// One kind that a handler may return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildGrant {
    /// The kind, and how its children are treated.
    pub policy: ChildPolicy,
    /// Whether its objects live in namespaces.
    pub scope: Scope,
    /// What the schema says about the fields of the kind.
    pub field_types: FieldTypes,
}

/// The type of the condition that handlers have unless their administrator names another one.
pub const READY: &str = "Ready";

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each object is in a namespace.
    Namespaced,
    /// No object is in a namespace.
    Cluster,
}

/// How much a handler may return in one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Children; 100 by default.
    pub children: usize,
    /// Bytes of one child's JSON text; 256 KiB by default. etcd takes 1.5 MiB at most.
    pub child_bytes: usize,
    /// Bytes of the status patch's JSON text; 256 KiB by default.
    pub status_bytes: usize,
    /// Related objects that it is given at once; 1000 by default.
    pub related: usize,
    /// Bytes of their JSON text; 4 MiB by default.
    pub related_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            children: 100,
            child_bytes: 256 << 10,
            status_bytes: 256 << 10,
            related: 1000,
            related_bytes: 4 << 20,
        }
    }
}

/// Why a handler cannot be granted what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The name cannot be part of a label and a field manager.
    #[error(
        "handler name {0:?} is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as `evc`"
    )]
    Name(String),
    /// The parent's kind is a kind of children too, so the handler would call itself for ever.
    #[error(
        "handler `{handler}` describes its parent's kind {kind} as a child too; a handler's children must be of other kinds"
    )]
    ParentAsChild {
        /// The handler.
        handler: String,
        /// The kind of parent and children.
        kind: Kind,
    },
    /// A namespaced object cannot own a cluster-scoped one.
    #[error(
        "handler `{handler}` describes the cluster-scoped child kind {kind} for the namespaced parent kind {parent}; Kubernetes lets no namespaced object own it, so make the parent cluster-scoped or drop the child"
    )]
    ClusterChild {
        /// The handler.
        handler: String,
        /// The child's kind.
        kind: Kind,
        /// The parent's kind.
        parent: Kind,
    },
    /// The module describes another kind of parent than it is granted.
    #[error(
        "handler `{handler}` describes the parent kind {kind}, it is granted {granted}; use a module for that kind, or grant this one"
    )]
    OtherParent {
        /// The handler.
        handler: String,
        /// The kind it describes.
        kind: Kind,
        /// The kind it is granted. It is boxed to keep the error small.
        granted: Box<Kind>,
    },
    /// The module describes a kind of children that it is not granted.
    #[error(
        "handler `{handler}` describes the child kind {kind}, which it is not granted; grant it, or use a module that does without"
    )]
    NotGranted {
        /// The handler.
        handler: String,
        /// The child's kind.
        kind: Kind,
    },
    /// The module describes a kind of related objects that it is not granted.
    #[error(
        "handler `{handler}` describes the related kind {kind}, which it is not granted; grant it in spec.related, or use a module that does without"
    )]
    NotRelated {
        /// The handler.
        handler: String,
        /// The kind.
        kind: Kind,
    },
    /// The module asks for the time of day, which it is not granted.
    #[error(
        "handler `{handler}` describes a clock, which it is not granted; grant it in spec.clock, or use a module that does without"
    )]
    NoClock {
        /// The handler.
        handler: String,
    },
    /// The module asks for a finer time of day than it is granted.
    #[error(
        "handler `{handler}` describes a clock of {described:?}, it is granted one of {granted:?}; grant a finer one in spec.clock, or use a module that does with a coarser one"
    )]
    FineClock {
        /// The handler.
        handler: String,
        /// The granularity that it describes.
        described: Duration,
        /// The granularity that is granted.
        granted: Duration,
    },
}

impl Grant {
    /// Grants a kind of parent and kinds of children. `scope` gives the scope of a kind.
    ///
    /// # Errors
    ///
    /// When the name is not valid, or the kinds do not go together.
    pub fn new(
        handler: &str,
        parent: &Kind,
        policies: &[ChildPolicy],
        limits: Limits,
        scope: impl Fn(&Kind) -> Scope,
    ) -> Result<Self, GrantError> {
        if !is_handler_name(handler) {
            return Err(GrantError::Name(handler.to_owned()));
        }
        let parent = parent.clone();
        let parent_scope = scope(&parent);
        let mut children = Vec::new();
        for policy in policies {
            let kind = &policy.kind;
            let child_scope = scope(kind);
            if kind.is_same_kind(&parent) {
                return Err(GrantError::ParentAsChild {
                    handler: handler.to_owned(),
                    kind: kind.clone(),
                });
            }
            if parent_scope == Scope::Namespaced && child_scope == Scope::Cluster {
                return Err(GrantError::ClusterChild {
                    handler: handler.to_owned(),
                    kind: kind.clone(),
                    parent,
                });
            }
            children.push(ChildGrant {
                policy: policy.clone(),
                scope: child_scope,
                field_types: FieldTypes::default(),
            });
        }
        Ok(Self {
            handler: handler.to_owned(),
            parent_status: ParentStatus::default_for(&parent),
            condition: READY.to_owned(),
            selection: ParentSelection::default(),
            parent,
            parent_scope,
            children,
            related: Vec::new(),
            clock: None,
            limits,
        })
    }

    /// The same grant, which shows these objects too. `scope` gives the scope of a kind.
    #[must_use]
    pub fn with_related(
        mut self,
        policies: &[RelatedPolicy],
        scope: impl Fn(&Kind) -> Scope,
    ) -> Self {
        let related = policies.iter().map(|policy| RelatedGrant {
            policy: policy.clone(),
            scope: scope(&policy.kind),
        });
        self.related = related.collect();
        self
    }

    /// The same grant, with what the schema says about the fields of the kinds of children.
    #[must_use]
    pub fn with_field_types(mut self, types_of: impl Fn(&Kind) -> FieldTypes) -> Self {
        for child in &mut self.children {
            child.field_types = types_of(&child.policy.kind);
        }
        self
    }

    /// The part of this grant that a module asks for. A kind that it does not describe it may not apply.
    ///
    /// # Errors
    ///
    /// When the module describes more than this.
    pub fn narrowed_to(&self, description: &Description) -> Result<Self, GrantError> {
        if description.parent != self.parent {
            return Err(GrantError::OtherParent {
                handler: self.handler.clone(),
                kind: description.parent.clone(),
                granted: Box::new(self.parent.clone()),
            });
        }
        let mut children = Vec::new();
        for kind in &description.children {
            let granted = self.child(kind).ok_or_else(|| GrantError::NotGranted {
                handler: self.handler.clone(),
                kind: kind.clone(),
            })?;
            children.push(granted.clone());
        }
        let mut related = Vec::new();
        for kind in &description.related {
            let granted = related.len();
            related.extend(self.related(kind).cloned());
            if related.len() == granted {
                return Err(GrantError::NotRelated {
                    handler: self.handler.clone(),
                    kind: kind.clone(),
                });
            }
        }
        Ok(Self {
            children,
            related,
            clock: self.clock_for(description.clock)?,
            ..self.clone()
        })
    }

    /// The clock that a module gets that describes one, or none.
    fn clock_for(&self, described: Option<Duration>) -> Result<Option<Duration>, GrantError> {
        let handler = || self.handler.clone();
        match (described, self.clock) {
            (None, _) => Ok(None),
            (Some(_), None) => Err(GrantError::NoClock { handler: handler() }),
            (Some(described), Some(granted)) if described < granted => Err(GrantError::FineClock {
                handler: handler(),
                described,
                granted,
            }),
            (Some(described), Some(_)) => Ok(Some(described)),
        }
    }

    /// What is granted of a kind of related objects.
    pub fn related(&self, kind: &Kind) -> impl Iterator<Item = &RelatedGrant> {
        self.related
            .iter()
            .filter(move |it| it.policy.kind == *kind)
    }

    /// Whether an object of a kind may be seen for a parent.
    #[must_use]
    pub fn shows(&self, kind: &Kind, object: &Object, parent: &Object) -> bool {
        let namespace = parent.meta.namespace.as_deref();
        self.related(kind).any(|it| it.shows(object, namespace))
    }

    /// The grant for a kind of child, if there is one.
    #[must_use]
    pub fn child(&self, kind: &Kind) -> Option<&ChildGrant> {
        let mut children = self.children.iter();
        children.find(|child| child.policy.kind == *kind)
    }

    /// Whether children of a kind outlive their parent.
    #[must_use]
    pub fn keeps(&self, kind: &Kind) -> bool {
        self.child(kind)
            .is_some_and(|child| match child.policy.on_parent_delete {
                OnParentDelete::Orphan => true,
                OnParentDelete::Delete => false,
            })
    }

    /// What becomes of children of a kind when the handler desires them otherwise.
    #[must_use]
    pub fn update(&self, kind: &Kind) -> ChildUpdate {
        let granted = self.child(kind);
        granted.map_or(ChildUpdate::InPlace, |child| child.policy.update)
    }

    /// The field manager that this handler's children are applied with.
    #[must_use]
    pub fn field_manager(&self) -> String {
        format!("{}/{}", crate::HOST, self.handler)
    }

    /// The finalizer of parents that the handler is called for while they are being deleted.
    #[must_use]
    pub fn finalizer(&self) -> String {
        finalizer_of(&self.handler)
    }
}

/// The finalizer that the handler of this name has on its parents.
#[must_use]
pub fn finalizer_of(handler: &str) -> String {
    format!("handler-host.dev/{handler}")
}

/// Whether a handler may have this name, which must be a DNS label of at most 48 characters.
#[must_use]
pub fn is_handler_name(name: &str) -> bool {
    name.len() <= 48 && is_dns_label(name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::GrantRequest;

    fn describe(parent: &str, children: &[&str]) -> Description {
        Description {
            parent: Kind::new("v1", parent).unwrap(),
            children: children
                .iter()
                .map(|kind| Kind::new("v1", kind).unwrap())
                .collect(),
            related: Vec::new(),
            has_finalizer: false,
            clock: None,
        }
    }

    fn of_description(name: &str, description: &Description) -> Result<Grant, GrantError> {
        let request = GrantRequest::of_description(name, description, OnParentDelete::Delete);
        request.grant_in(scope)
    }

    fn scope(kind: &Kind) -> Scope {
        match kind.kind.as_str() {
            "Namespace" | "Node" => Scope::Cluster,
            _ => Scope::Namespaced,
        }
    }

    #[rstest]
    #[case::a_usual_one("evc", "ConfigMap", &["Secret"], true)]
    #[case::a_cluster_scoped_parent("evc", "Node", &["Namespace", "ConfigMap"], true)]
    #[case::an_empty_name("", "ConfigMap", &[], false)]
    #[case::a_name_with_capitals("Evc", "ConfigMap", &[], false)]
    #[case::a_name_with_dots("a.b", "ConfigMap", &[], false)]
    #[case::a_long_name("a123456789a123456789a123456789a123456789a12345678", "ConfigMap", &[], false)]
    #[case::its_own_kind("evc", "ConfigMap", &["ConfigMap"], false)]
    #[case::a_cluster_child_of_a_namespaced_parent("evc", "ConfigMap", &["Node"], false)]
    fn a_description_is_granted_if_it_can_work(
        #[case] name: &str,
        #[case] parent: &str,
        #[case] children: &[&str],
        #[case] is_granted: bool,
    ) {
        let description = describe(parent, children);
        let grant = of_description(name, &description);
        assert_eq!(grant.is_ok(), is_granted, "{grant:?}");
    }

    #[rstest]
    #[case::all_of_it("ConfigMap", &["Secret", "Pod"], Ok(2))]
    #[case::less("ConfigMap", &["Secret"], Ok(1))]
    #[case::nothing("ConfigMap", &[], Ok(0))]
    #[case::more("ConfigMap", &["Secret", "Service"], Err("the child kind v1 Service, which it is not granted"))]
    #[case::another_parent("Secret", &[], Err("the parent kind v1 Secret, it is granted v1 ConfigMap"))]
    fn a_module_gets_no_more_than_is_granted_and_no_more_than_it_describes(
        #[case] parent: &str,
        #[case] children: &[&str],
        #[case] outcome: Result<usize, &str>,
    ) {
        let granted = describe("ConfigMap", &["Secret", "Pod"]);
        let grant = of_description("evc", &granted).unwrap();
        match (grant.narrowed_to(&describe(parent, children)), outcome) {
            (Ok(narrowed), Ok(count)) => assert_eq!(narrowed.children.len(), count),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }
}
