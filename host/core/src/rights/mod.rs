use std::collections::BTreeMap;
use std::fmt;

use crate::kind::is_dns_subdomain;
use crate::{Grant, OnParentDelete};

/// A service account: in its name everything is asked for that concerns a handler's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

/// Why there can be no such account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No namespace could have this name.
    #[error(
        "namespace {0:?} is not a DNS label of at most 63 characters; use a-z, 0-9 and `-`, such as team-a"
    )]
    Namespace(String),
    /// No service account could have this name.
    #[error("name {0:?} is not a DNS subdomain; use a-z, 0-9, `-` and `.`, such as evc")]
    Name(String),
}

impl Account {
    /// Checks both names.
    ///
    /// # Errors
    ///
    /// When no account could have them.
    pub fn new(namespace: &str, name: &str) -> Result<Self, AccountError> {
        let is_label = namespace.len() <= 63 && !namespace.contains('.');
        if !is_label || !is_dns_subdomain(namespace) {
            return Err(AccountError::Namespace(namespace.to_owned()));
        }
        if !is_dns_subdomain(name) {
            return Err(AccountError::Name(name.to_owned()));
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Its name as a user of the API server.
    #[must_use]
    pub fn user(&self) -> String {
        format!("{USER}{}:{}", self.namespace, self.name)
    }

    /// The account of such a user; None if it is another kind of user.
    #[must_use]
    pub fn of_user(user: &str) -> Option<Self> {
        let (namespace, name) = user.strip_prefix(USER)?.split_once(':')?;
        Self::new(namespace, name).ok()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

const USER: &str = "system:serviceaccount:";

/// A kind as rights name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name.
    pub plural: String,
    /// Whether it has a status subresource.
    pub has_status: bool,
}

/// What may be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Be told of changes.
    Watch,
    /// Make one. An apply that makes one asks for it beside `patch`.
    Create,
    /// Replace one.
    Update,
    /// Change one.
    Patch,
    /// Remove one.
    Delete,
}

impl Verb {
    /// As rules spell it.
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
    /// What is to be allowed.
    pub verbs: Vec<Verb>,
}

/// One right, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// What is to be allowed.
    pub verb: Verb,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name.
    pub plural: String,
    /// The subresource, if it is about one.
    pub subresource: Option<&'static str>,
    /// Where; None for everywhere.
    pub namespace: Option<String>,
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
        }
    }

    /// As roles name what it is about: `puppets/status`.
    #[must_use]
    pub fn resource(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.plural),
            None => self.plural.clone(),
        }
    }

    /// As people and `kubectl` name what it is about: `puppets.example.dev/status`.
    #[must_use]
    pub fn place(&self) -> String {
        place(&self.group, &self.plural, self.subresource)
    }
}

/// What serving a handler takes, and nothing else. `children` are the resources of the granted kinds.
///
/// Events are not in it: the host publishes them in its own name.
#[must_use]
pub fn rules(
    grant: &Grant,
    parents: &Resource,
    children: &[Resource],
    has_finalizer: bool,
) -> Vec<Rule> {
    // Finalizers stand in the object itself, and so does a status that is no subresource.
    let is_patched = has_finalizer || !parents.has_status;
    let patch = is_patched.then_some(Verb::Patch);
    let mut rules = vec![Rule::new(
        parents,
        None,
        [Verb::List, Verb::Watch].into_iter().chain(patch),
    )];
    if parents.has_status {
        rules.push(Rule::new(parents, Some("status"), [Verb::Patch]));
    }
    let owns = |what: OnParentDelete| match what {
        OnParentDelete::Delete => true,
        OnParentDelete::Orphan => false,
    };
    if grant.children.iter().any(|it| owns(it.on_parent_delete)) {
        // Owner references block their owner's deletion, which some clusters allow only to those who may
        // give it finalizers.
        rules.push(Rule::new(parents, Some("finalizers"), [Verb::Update]));
    }
    for child in children {
        let verbs = [
            // A foreign object at a child's name is looked at.
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
    rules
}

/// Each right that rules ask for, in these namespaces or, with none, everywhere.
#[must_use]
pub fn rights(rules: &[Rule], namespaces: &[String]) -> Vec<Right> {
    let places: Vec<Option<&String>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(Some).collect()
    };
    let mut rights = Vec::new();
    for namespace in places {
        for rule in rules {
            rights.extend(rule.verbs.iter().map(|verb| Right {
                verb: *verb,
                group: rule.group.clone(),
                plural: rule.plural.clone(),
                subresource: rule.subresource,
                namespace: namespace.cloned(),
            }));
        }
    }
    rights
}

/// How many resources a message names.
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

/// What a right is about, and where.
fn place_of(right: &Right) -> String {
    let place = place(&right.group, &right.plural, right.subresource);
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
