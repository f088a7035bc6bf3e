use handler_host_core::{
    Description, Grant, GrantError, Kind, Limits, OnParentDelete, Resource, Rule, Scope, Settings,
    rules,
};
use kube::Client;

pub use crate::discovery::NotServed;
use crate::discovery::{Served, served};
use crate::survey::{PreviewError, discover};

/// What a handler is to be granted, before any cluster was asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The handler's name.
    pub name: String,
    /// The kind of its parents.
    pub parent: Kind,
    /// The kinds of its children, and what becomes of each when its parent goes.
    pub children: Vec<(Kind, OnParentDelete)>,
    /// How much one response may hold.
    pub limits: Limits,
}

/// The kinds of a handler as the cluster serves them, and the grant that they make.
#[derive(Clone)]
pub struct Kinds {
    pub(crate) grant: Grant,
    pub(crate) parents: Served,
    pub(crate) children: Vec<Served>,
}

impl Wanted {
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

    fn grant_in(&self, scope: impl Fn(&Kind) -> Scope) -> Result<Grant, GrantError> {
        Grant::new(&self.name, &self.parent, &self.children, self.limits, scope)
    }
}

impl From<&Settings> for Wanted {
    fn from(settings: &Settings) -> Self {
        Self {
            name: settings.name.clone(),
            parent: settings.parent.clone(),
            children: settings.children.clone(),
            limits: settings.limits,
        }
    }
}

impl Kinds {
    /// Waits until the API server serves all kinds, however long that takes. `waits` is told what is waited
    /// for, each time it is looked for in vain.
    ///
    /// # Errors
    ///
    /// When the kinds, as they are served, can never be granted.
    pub async fn served(
        client: &Client,
        wanted: &Wanted,
        waits: impl Fn(&NotServed),
    ) -> Result<Self, GrantError> {
        let parents = served(client, &wanted.parent, &waits).await;
        let mut children = Vec::new();
        for (kind, _) in &wanted.children {
            children.push(served(client, kind, &waits).await);
        }
        Self::of(wanted, parents, children)
    }

    /// As the API server serves them now; one that is missing is an error.
    ///
    /// # Errors
    ///
    /// When a kind is not served, or can never be granted.
    pub async fn now(client: &Client, wanted: &Wanted) -> Result<Self, PreviewError> {
        let parents = discover(client, &wanted.parent).await?;
        let mut children = Vec::new();
        for (kind, _) in &wanted.children {
            children.push(discover(client, kind).await?);
        }
        Ok(Self::of(wanted, parents, children)?)
    }

    /// As they are likely to be served: by a plural that is guessed, namespaced, with a status.
    ///
    /// # Errors
    ///
    /// When they can never be granted.
    pub fn guessed(wanted: &Wanted) -> Result<Self, GrantError> {
        let children = wanted.children.iter();
        let children = children.map(|(kind, _)| Served::guessed(kind)).collect();
        Self::of(wanted, Served::guessed(&wanted.parent), children)
    }

    fn of(wanted: &Wanted, parents: Served, children: Vec<Served>) -> Result<Self, GrantError> {
        let scope = |kind: &Kind| {
            let mut all = children.iter().chain([&parents]);
            all.find(|served| served.kind == *kind)
                .map_or(Scope::Namespaced, |served| served.scope)
        };
        Ok(Self {
            grant: wanted.grant_in(scope)?,
            parents,
            children,
        })
    }

    /// What the handler may do.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The rights that serving takes, with parents that get a finalizer or not.
    #[must_use]
    pub fn rules(&self, has_finalizer: bool) -> Vec<Rule> {
        rules_of(
            &self.grant,
            &self.parents,
            self.children.iter(),
            has_finalizer,
        )
    }
}

pub(crate) fn rules_of<'a>(
    grant: &Grant,
    parents: &Served,
    children: impl Iterator<Item = &'a Served>,
    has_finalizer: bool,
) -> Vec<Rule> {
    let children: Vec<Resource> = children.map(Served::as_rights_name_it).collect();
    rules(
        grant,
        &parents.as_rights_name_it(),
        &children,
        has_finalizer,
    )
}
