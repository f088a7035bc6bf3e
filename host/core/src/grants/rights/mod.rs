use std::collections::BTreeMap;

use super::child_policy::OnParentDelete;
use super::grant::{Grant, Scope};
use super::parent_status::ParentStatus;
use crate::{RelatedGrant, RelatedPlaces};

/// A kind as rules of roles name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name.
    pub plural: String,
    /// Whether it has a status subresource.
    pub has_status: bool,
}

/// A verb of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Watch changes.
    Watch,
    /// Create one. An apply that creates an object needs this beside `patch`.
    Create,
    /// Replace one.
    Update,
    /// Change one.
    Patch,
    /// Remove one.
    Delete,
}

impl Verb {
    /// The verb as rules spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// What a handler's account must be allowed to do with one resource, or with a subresource of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name.
    pub plural: String,
    /// The subresource, if it is about one.
    pub subresource: Option<&'static str>,
    /// What has to be allowed.
    pub verbs: Vec<Verb>,
    /// Where.
    pub places: RelatedPlaces,
    /// The names of the objects; empty for any.
    pub names: Vec<String>,
}

/// One right, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// What has to be allowed.
    pub verb: Verb,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name.
    pub plural: String,
    /// The subresource, if it is about one.
    pub subresource: Option<&'static str>,
    /// Where; None for everywhere.
    pub namespace: Option<String>,
    /// The object's name; None for any.
    pub name: Option<String>,
}

impl Rule {
    fn new(
        resource: &Resource,
        subresource: Option<&'static str>,
        verbs: impl IntoIterator<Item = Verb>,
    ) -> Self {
        Self {
            group: resource.group.clone(),
            plural: resource.plural.clone(),
            subresource,
            verbs: verbs.into_iter().collect(),
            places: RelatedPlaces::Parents,
            names: Vec::new(),
        }
    }

    /// Reading related objects.
    fn of_related(resource: &Resource, related: &RelatedGrant) -> Self {
        let places = match related.scope {
            Scope::Cluster => RelatedPlaces::Everywhere,
            Scope::Namespaced => related.policy.places.clone(),
        };
        Self {
            places,
            names: related.policy.names.clone(),
            ..Self::new(resource, None, [Verb::Get, Verb::List, Verb::Watch])
        }
    }

    /// Reading the labels of namespaces.
    fn of_namespaces() -> Self {
        let namespaces = Resource {
            group: String::new(),
            plural: "namespaces".to_owned(),
            has_status: true,
        };
        Self {
            places: RelatedPlaces::Everywhere,
            ..Self::new(&namespaces, None, [Verb::Get, Verb::List, Verb::Watch])
        }
    }

    /// The namespaces in which the rule applies, where the parents are in `parents`; None for all of them.
    #[must_use]
    pub fn namespaces<'a>(&'a self, parents: &'a [String]) -> Option<&'a [String]> {
        match &self.places {
            RelatedPlaces::Parents => (!parents.is_empty()).then_some(parents),
            RelatedPlaces::Everywhere => None,
            RelatedPlaces::Namespaces(namespaces) => Some(namespaces),
        }
    }

    /// The resource as roles name it: `puppets/status`.
    #[must_use]
    pub fn resource(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.plural),
            None => self.plural.clone(),
        }
    }

    /// The resource as people and `kubectl` name it: `puppets.example.dev/status`.
    #[must_use]
    pub fn place(&self) -> String {
        place(&self.group, &self.plural, self.subresource)
    }
}

/// The rules that serving a handler needs, and no others. `children` are the resources of the granted kinds, and `related`
/// those of what else it may see.
///
/// There is no rule for Events, since the host publishes them in its own name.
#[must_use]
pub fn rules(
    grant: &Grant,
    parents: &Resource,
    children: &[Resource],
    related: &[(Resource, &RelatedGrant)],
    has_finalizer: bool,
) -> Vec<Rule> {
    // Finalizers are part of the object itself, and so is a status that is no subresource.
    let writes_status = grant.parent_status == ParentStatus::Conditions;
    let is_patched = has_finalizer || writes_status && !parents.has_status;
    let patch = is_patched.then_some(Verb::Patch);
    // One that lost its label is read once more.
    let is_read = !grant.selection.watched_labels().is_empty();
    let get = is_read.then_some(Verb::Get);
    let verbs = get
        .into_iter()
        .chain([Verb::List, Verb::Watch])
        .chain(patch);
    let mut rules = vec![Rule::new(parents, None, verbs)];
    if writes_status && parents.has_status {
        rules.push(Rule::new(parents, Some("status"), [Verb::Patch]));
    }
    let owns = |what: OnParentDelete| match what {
        OnParentDelete::Delete => true,
        OnParentDelete::Orphan => false,
    };
    if grant
        .children
        .iter()
        .any(|it| owns(it.policy.on_parent_delete))
    {
        // Owner references block the deletion of their owner. Some clusters allow that only to users who may update
        // the finalizers of the owner.
        rules.push(Rule::new(parents, Some("finalizers"), [Verb::Update]));
    }
    for child in children {
        let verbs = [
            // For foreign objects at the names of children.
            Verb::Get,
            Verb::List,
            Verb::Watch,
            Verb::Create,
            Verb::Patch,
            Verb::Delete,
        ];
        let rule = Rule::new(child, None, verbs);
        // Two versions of a kind are one resource.
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    if grant
        .selection
        .needs_namespaces(&grant.parent, grant.parent_scope)
    {
        rules.push(Rule::of_namespaces());
    }
    for (resource, granted) in related {
        let rule = Rule::of_related(resource, granted);
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules
}

/// The rights that rules ask for, where the parents are in these namespaces, or everywhere if there are none.
#[must_use]
pub fn rights(rules: &[Rule], namespaces: &[String]) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in rules {
        let places: Vec<Option<&String>> = match rule.namespaces(namespaces) {
            None => vec![None],
            Some(namespaces) => namespaces.iter().map(Some).collect(),
        };
        let names: Vec<Option<&String>> = match rule.names.as_slice() {
            [] => vec![None],
            names => names.iter().map(Some).collect(),
        };
        for namespace in places {
            for name in &names {
                rights.extend(rule.verbs.iter().map(|verb| Right {
                    verb: *verb,
                    group: rule.group.clone(),
                    plural: rule.plural.clone(),
                    subresource: rule.subresource,
                    namespace: namespace.cloned(),
                    name: name.cloned(),
                }));
            }
        }
    }
    rights
}

/// How many resources a message names at most.
const NAMED: usize = 4;

/// Rights in words: `list and watch puppets.example.dev, patch puppets.example.dev/status`.
#[must_use]
pub fn rights_in_words(rights: &[Right]) -> String {
    let mut verbs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for right in rights {
        let verb = right.verb.as_str();
        let of_resource = verbs.entry(place_of(right)).or_default();
        if !of_resource.contains(&verb) {
            of_resource.push(verb);
        }
    }
    let count = verbs.len();
    let phrase = |(place, verbs): (String, Vec<&str>)| format!("{} {place}", listed(&verbs));
    let mut phrases: Vec<String> = verbs.into_iter().take(NAMED).map(phrase).collect();
    if count > NAMED {
        phrases.push(format!("and {} resources more", count - NAMED));
    }
    phrases.join(", ")
}

fn place(group: &str, plural: &str, subresource: Option<&str>) -> String {
    let mut place = plural.to_owned();
    if !group.is_empty() {
        place = format!("{place}.{group}");
    }
    if let Some(subresource) = subresource {
        place = format!("{place}/{subresource}");
    }
    place
}

/// The resource of a right, its name and its namespace.
fn place_of(right: &Right) -> String {
    let mut place = place(&right.group, &right.plural, right.subresource);
    if let Some(name) = &right.name {
        place = format!("{place} {name}");
    }
    match &right.namespace {
        Some(namespace) => format!("{place} in namespace {namespace}"),
        None => place,
    }
}

fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;
