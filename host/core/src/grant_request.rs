use crate::{Description, Grant, GrantError, Kind, Limits, OnParentDelete, Scope, Settings};

/// What a handler is to be granted, before any cluster was asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest {
    /// The handler's name.
    pub name: String,
    /// The kind of its parents.
    pub parent: Kind,
    /// The kinds of its children, and what becomes of each when its parent goes.
    pub children: Vec<(Kind, OnParentDelete)>,
    /// How much one response may hold.
    pub limits: Limits,
}

impl GrantRequest {
    /// What a module describes, as a whole.
    #[must_use]
    pub fn of_description(
        name: &str,
        description: &Description,
        on_parent_delete: OnParentDelete,
    ) -> Self {
        let children = description.children.iter();
        Self {
            name: name.to_owned(),
            parent: description.parent.clone(),
            children: children
                .map(|kind| (kind.clone(), on_parent_delete))
                .collect(),
            limits: Limits::default(),
        }
    }

    /// The grant, as far as it can be told without a cluster: kinds are taken for namespaced.
    ///
    /// # Errors
    ///
    /// When it could never work.
    pub fn grant(&self) -> Result<Grant, GrantError> {
        self.grant_in(|_| Scope::Namespaced)
    }

    /// The grant, where the scope of each kind is known.
    ///
    /// # Errors
    ///
    /// When the kinds, with these scopes, can never be granted.
    pub fn grant_in(&self, scope: impl Fn(&Kind) -> Scope) -> Result<Grant, GrantError> {
        Grant::new(&self.name, &self.parent, &self.children, self.limits, scope)
    }
}

impl From<&Settings> for GrantRequest {
    fn from(settings: &Settings) -> Self {
        Self {
            name: settings.name.clone(),
            parent: settings.parent.clone(),
            children: settings.children.clone(),
            limits: settings.limits,
        }
    }
}
