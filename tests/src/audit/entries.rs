//! Requests of the audit log, and how a test narrows them down and counts them.

use std::fmt::{self, Display};

/// One request. A text is empty where the request has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The authenticated user.
    pub user: String,
    /// The user that the request impersonated.
    pub impersonated: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural resource name: `persistentvolumeclaims`.
    pub resource: String,
    /// The subresource, such as `status`.
    pub subresource: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The HTTP status code of the answer.
    pub code: u16,
    /// What the API server answered, where that was an error.
    pub message: String,
    /// The path and the query.
    pub uri: String,
    /// The header `User-Agent` of the client.
    pub user_agent: String,
    /// The address that the request came from.
    pub source: String,
    /// When the request arrived, in RFC 3339 with microseconds.
    pub received: String,
    /// When the request was answered, in the same form. For a watch: when the watch began.
    pub answered: String,
}

impl AuditEntry {
    /// Whether the client wanted to change something.
    pub fn is_write(&self) -> bool {
        self.has_writing_verb() && !self.is_dry_run()
    }

    /// Whether the request was a dry run, which tells what it would change and changes nothing.
    pub fn is_dry_run(&self) -> bool {
        let (_, query) = self.uri.split_once('?').unwrap_or_default();
        self.has_writing_verb() && query.split('&').any(|part| part == "dryRun=All")
    }

    fn has_writing_verb(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }
}

impl Display for AuditEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {}",
            self.received, self.user, self.verb, self.uri, self.code, self.message
        )
    }
}

/// Requests that a test narrows down and counts: `entries.by("admin").in_namespace("a").writes().count()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEntries(pub(super) Vec<AuditEntry>);

impl AuditEntries {
    /// The requests of a user.
    #[must_use]
    pub fn by(&self, user: &str) -> Self {
        self.only(|entry| entry.user == user)
    }

    /// The requests that came from an address.
    #[must_use]
    pub fn from(&self, source: &str) -> Self {
        self.only(|entry| entry.source == source)
    }

    /// The requests with a verb.
    #[must_use]
    pub fn verb(&self, verb: &str) -> Self {
        self.only(|entry| entry.verb == verb)
    }

    /// The requests for a plural resource name and its subresources.
    #[must_use]
    pub fn resource(&self, resource: &str) -> Self {
        self.only(|entry| entry.resource == resource)
    }

    /// The requests for a subresource; `""` means the main resource.
    #[must_use]
    pub fn subresource(&self, subresource: &str) -> Self {
        self.only(|entry| entry.subresource == subresource)
    }

    /// The requests in a namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        self.only(|entry| entry.namespace == namespace)
    }

    /// The requests for objects of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        self.only(|entry| entry.name == name)
    }

    /// The requests that were answered with an HTTP status code.
    #[must_use]
    pub fn code(&self, code: u16) -> Self {
        self.only(|entry| entry.code == code)
    }

    /// The requests that were to change something; dry runs are left out.
    #[must_use]
    pub fn writes(&self) -> Self {
        self.only(AuditEntry::is_write)
    }

    /// The dry runs.
    #[must_use]
    pub fn dry_runs(&self) -> Self {
        self.only(AuditEntry::is_dry_run)
    }

    /// The requests for which a condition holds.
    #[must_use]
    pub fn only(&self, condition: impl Fn(&AuditEntry) -> bool) -> Self {
        AuditEntries(
            self.0
                .iter()
                .filter(|entry| condition(entry))
                .cloned()
                .collect(),
        )
    }

    /// The number of requests.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// An iterator over the requests.
    pub fn iter(&self) -> impl Iterator<Item = &AuditEntry> {
        self.0.iter()
    }
}

/// Writes one line for each request, for the message of a failed assertion.
impl Display for AuditEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(no requests)");
        }
        self.0.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}
