use std::time::Duration;

use super::child_policy::{ChildPolicy, OnParentDelete};
use super::grant::{Grant, GrantError, Limits, READY, Scope};
use super::parent_status::ParentStatus;
use super::selection::ParentSelection;
use crate::{Description, Kind, RelatedPolicy, Settings};

/// What a handler asks to be granted. The scopes of its kinds, which only a cluster knows, are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    /// The handler's name.
    pub name: String,
    /// The kind of its parents.
    pub parent: Kind,
    /// The kinds of its children, and what becomes of each when its parent goes.
    pub children: Vec<ChildPolicy>,
    /// The other objects that it sees.
    pub related: Vec<RelatedPolicy>,
    /// The finest time of day that it is told; None for none.
    pub clock: Option<Duration>,
    /// What is to be written into the parents' status; None for what the kind of the parents suggests.
    pub parent_status: Option<ParentStatus>,
    /// The type of the condition that is to be written there.
    pub condition: String,
    /// Which parents it is called for.
    pub selection: ParentSelection,
    /// How much one response may hold.
    pub limits: Limits,
}

impl GrantRequest {
    /// Asks for parents of a kind, and for nothing else.
    #[must_use]
    pub fn new(name: &str, parent: &Kind) -> Self {
        Self {
            name: name.to_owned(),
            parent: parent.clone(),
            children: Vec::new(),
            related: Vec::new(),
            clock: None,
            parent_status: None,
            condition: READY.to_owned(),
            selection: ParentSelection::default(),
            limits: Limits::default(),
        }
    }

    /// Asks for everything that a module describes.
    #[must_use]
    pub fn of_description(
        name: &str,
        description: &Description,
        on_parent_delete: OnParentDelete,
    ) -> Self {
        let children = description
            .children
            .iter()
            .map(|kind| ChildPolicy::new(kind.clone(), on_parent_delete));
        let related = description.related.iter().map(RelatedPolicy::of_kind);
        Self {
            children: children.collect(),
            related: related.collect(),
            clock: description.clock,
            ..Self::new(name, &description.parent)
        }
    }

    /// The grant without a cluster: every kind is taken for namespaced.
    ///
    /// # Errors
    ///
    /// When the kinds can never be granted.
    pub fn grant(&self) -> Result<Grant, GrantError> {
        self.grant_in(|_| Scope::Namespaced)
    }

    /// The grant, where `scope` gives the scope of a kind.
    ///
    /// # Errors
    ///
    /// When the kinds, with these scopes, can never be granted.
    pub fn grant_in(&self, scope: impl Fn(&Kind) -> Scope) -> Result<Grant, GrantError> {
        let grant = Grant::new(
            &self.name,
            &self.parent,
            &self.children,
            self.limits,
            &scope,
        )?;
        let mut grant = grant.with_related(&self.related, &scope);
        grant.clock = self.clock;
        grant.condition.clone_from(&self.condition);
        grant.selection = self.selection.clone();
        if let Some(parent_status) = self.parent_status {
            grant.parent_status = parent_status;
        }
        Ok(grant)
    }
}

impl From<&Settings> for GrantRequest {
    fn from(settings: &Settings) -> Self {
        Self {
            name: settings.name.clone(),
            parent: settings.parent.clone(),
            children: settings.children.clone(),
            related: settings.related.clone(),
            clock: settings.clock,
            parent_status: settings.parent_status,
            condition: settings.condition.clone(),
            selection: settings.selection.clone(),
            limits: settings.limits,
        }
    }
}
