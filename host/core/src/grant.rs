use crate::{Description, Kind};

/// What a handler may do: the administrator's word, against which every response is checked.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The handler's name: a DNS label of at most 48 characters, since it stands in labels and field managers.
    pub handler: String,
    /// The kind of its parents.
    pub parent: Kind,
    /// The parents' scope.
    pub parent_scope: Scope,
    /// The kinds it may return.
    pub children: Vec<ChildGrant>,
    /// How much it may return.
    pub limits: Limits,
}

/// One kind that a handler may return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildGrant {
    /// The kind.
    pub kind: Kind,
    /// Whether its objects live in namespaces.
    pub scope: Scope,
    /// What becomes of a child when its parent goes.
    pub on_parent_delete: OnParentDelete,
}

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They do not.
    Cluster,
}

/// What becomes of a child when its parent goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnParentDelete {
    /// The garbage collector deletes it, by owner reference.
    #[default]
    Delete,
    /// It stays: no owner reference is set.
    Orphan,
}

/// How much a handler may return in one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Children; 100 by default.
    pub children: usize,
    /// Bytes of one child's JSON text; 256 KiB by default. etcd takes 1.5 MiB at most.
    pub child_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            children: 100,
            child_bytes: 256 << 10,
        }
    }
}

/// Why a handler may not be activated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The name cannot stand in a label and a field manager.
    #[error(
        "handler name {0:?} is not a DNS label of at most 48 characters; use a-z, 0-9 and `-`, such as `evc`"
    )]
    Name(String),
    /// A handler of its own kind would call itself for ever.
    #[error(
        "handler `{handler}` describes its parent's kind {kind} as a child too; a handler's children must be of other kinds"
    )]
    ParentAsChild {
        /// The handler.
        handler: String,
        /// The kind that stands on both sides.
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
    /// The module is called for something else than the administrator said.
    #[error(
        "handler `{handler}` describes the parent kind {kind}, it is granted {granted}; use a module for that kind, or grant this one"
    )]
    OtherParent {
        /// The handler.
        handler: String,
        /// The kind it describes.
        kind: Kind,
        /// The kind it is granted. Boxed: an error is to be small.
        granted: Box<Kind>,
    },
    /// The module wants to apply more than the administrator said.
    #[error(
        "handler `{handler}` describes the child kind {kind}, which it is not granted; grant it, or use a module that does without"
    )]
    NotGranted {
        /// The handler.
        handler: String,
        /// The child's kind.
        kind: Kind,
    },
}

impl Grant {
    /// Grants what a description asks for; `scope` tells the scope of each kind.
    ///
    /// # Errors
    ///
    /// When the name or the description could never work.
    pub fn of_description(
        handler: &str,
        description: &Description,
        on_parent_delete: OnParentDelete,
        scope: impl Fn(&Kind) -> Scope,
    ) -> Result<Self, GrantError> {
        let children = description.children.iter();
        let children: Vec<_> = children
            .map(|kind| (kind.clone(), on_parent_delete))
            .collect();
        let limits = Limits::default();
        Self::new(handler, &description.parent, &children, limits, scope)
    }

    /// Grants a kind of parent and kinds of children; `scope` tells the scope of each kind.
    ///
    /// # Errors
    ///
    /// When the name or the kinds could never work.
    pub fn new(
        handler: &str,
        parent: &Kind,
        kinds: &[(Kind, OnParentDelete)],
        limits: Limits,
        scope: impl Fn(&Kind) -> Scope,
    ) -> Result<Self, GrantError> {
        if !is_handler_name(handler) {
            return Err(GrantError::Name(handler.to_owned()));
        }
        let parent = parent.clone();
        let parent_scope = scope(&parent);
        let mut children = Vec::new();
        for (kind, on_parent_delete) in kinds {
            let child_scope = scope(kind);
            if *kind == parent {
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
                kind: kind.clone(),
                scope: child_scope,
                on_parent_delete: *on_parent_delete,
            });
        }
        Ok(Self {
            handler: handler.to_owned(),
            parent,
            parent_scope,
            children,
            limits,
        })
    }

    /// The part of this grant that a module asks for: what it does not describe it may not apply either.
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
        Ok(Self {
            children,
            ..self.clone()
        })
    }

    /// The grant for a kind of child, if there is one.
    #[must_use]
    pub fn child(&self, kind: &Kind) -> Option<&ChildGrant> {
        self.children.iter().find(|child| child.kind == *kind)
    }

    /// Whether children of a kind outlive their parent.
    #[must_use]
    pub fn keeps(&self, kind: &Kind) -> bool {
        self.child(kind)
            .is_some_and(|child| match child.on_parent_delete {
                OnParentDelete::Orphan => true,
                OnParentDelete::Delete => false,
            })
    }

    /// The field manager of everything this handler's children are written with.
    #[must_use]
    pub fn field_manager(&self) -> String {
        format!("{}/{}", crate::HOST, self.handler)
    }

    /// The finalizer of parents whose handler wants to see them go.
    #[must_use]
    pub fn finalizer(&self) -> String {
        format!("handler-host.dev/{}", self.handler)
    }
}

/// Whether a handler may have this name: a DNS label of at most 48 characters.
#[must_use]
pub fn is_handler_name(name: &str) -> bool {
    name.len() <= 48 && !name.contains('.') && crate::kind::is_dns_subdomain(name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn describe(parent: &str, children: &[&str]) -> Description {
        Description {
            parent: Kind::new("v1", parent).unwrap(),
            children: children
                .iter()
                .map(|kind| Kind::new("v1", kind).unwrap())
                .collect(),
            has_finalizer: false,
        }
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
        let grant = Grant::of_description(name, &description, OnParentDelete::Delete, scope);
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
        let grant = Grant::of_description("evc", &granted, OnParentDelete::Delete, scope).unwrap();
        match (grant.narrowed_to(&describe(parent, children)), outcome) {
            (Ok(narrowed), Ok(count)) => assert_eq!(narrowed.children.len(), count),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }
}
