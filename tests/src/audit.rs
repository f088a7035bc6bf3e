//! The API server's audit log: every request, as the server itself counts it.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The audit log of a control plane.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

/// A place in the audit log: what was logged before it is not looked at.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// One request. Texts are empty where the request has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The authenticated user.
    pub user: String,
    /// The user it acted as, when it impersonated one.
    pub impersonated: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural resource name: `persistentvolumeclaims`.
    pub resource: String,
    /// `status`, for example.
    pub subresource: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The HTTP code of the answer.
    pub code: u16,
    /// Path and query.
    pub uri: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// The address that it came from.
    pub source: String,
    /// When the request arrived, RFC 3339 with microseconds.
    pub received: String,
    /// When it was answered, in the same form; for a watch, when it began.
    pub answered: String,
}

impl Entry {
    /// Whether the request was meant to change something.
    pub fn is_write(&self) -> bool {
        self.has_writing_verb() && !self.is_dry_run()
    }

    /// Whether the request was only to tell what it would change.
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

impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {}",
            self.received, self.user, self.verb, self.uri, self.code
        )
    }
}

impl Audit {
    pub(crate) fn of(path: &Path) -> Self {
        Audit {
            path: path.to_owned(),
        }
    }

    /// The end of the log now.
    pub fn mark(&self) -> Mark {
        Mark(fs::metadata(&self.path).map_or(0, |metadata| metadata.len()))
    }

    /// The requests since a mark, in the order they were logged, each once.
    ///
    /// A request is logged as it is answered, which a client may see a moment earlier: wait with
    /// `eventually` for one that must come, and use `ControlPlane::audit_since` before counting.
    pub fn since(&self, mark: &Mark) -> Entries {
        let text = self.text_from(mark.0).unwrap_or_default();
        let mut logged = HashSet::new();
        let entries = text
            .split_inclusive('\n')
            // The last line may still be in the writing.
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| serde_json::from_str::<Event>(line).ok())
            // The end of a watch that was logged when it began, before the mark perhaps.
            .filter(|event| !event.ends_a_watch())
            .filter(|event| logged.insert(event.audit_id.clone()))
            .map(Entry::from)
            .collect();
        Entries(entries)
    }

    fn text_from(&self, offset: u64) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }
}

/// Requests, to be narrowed down and counted: `entries.by("admin").in_namespace("a").writes().count()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries(Vec<Entry>);

impl Entries {
    /// Those of a user.
    #[must_use]
    pub fn by(&self, user: &str) -> Self {
        self.only(|entry| entry.user == user)
    }

    /// Those that came from an address.
    #[must_use]
    pub fn from(&self, source: &str) -> Self {
        self.only(|entry| entry.source == source)
    }

    /// Those with a verb.
    #[must_use]
    pub fn verb(&self, verb: &str) -> Self {
        self.only(|entry| entry.verb == verb)
    }

    /// Those for a plural resource name, subresources included.
    #[must_use]
    pub fn resource(&self, resource: &str) -> Self {
        self.only(|entry| entry.resource == resource)
    }

    /// Those for a subresource; `""` for the main resource.
    #[must_use]
    pub fn subresource(&self, subresource: &str) -> Self {
        self.only(|entry| entry.subresource == subresource)
    }

    /// Those in a namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        self.only(|entry| entry.namespace == namespace)
    }

    /// Those for an object's name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        self.only(|entry| entry.name == name)
    }

    /// Those answered with an HTTP code.
    #[must_use]
    pub fn code(&self, code: u16) -> Self {
        self.only(|entry| entry.code == code)
    }

    /// Those meant to change something.
    #[must_use]
    pub fn writes(&self) -> Self {
        self.only(Entry::is_write)
    }

    /// Those meant to tell what they would change.
    #[must_use]
    pub fn dry_runs(&self) -> Self {
        self.only(Entry::is_dry_run)
    }

    /// Those that a condition holds for.
    #[must_use]
    pub fn only(&self, condition: impl Fn(&Entry) -> bool) -> Self {
        Entries(
            self.0
                .iter()
                .filter(|entry| condition(entry))
                .cloned()
                .collect(),
        )
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }
}

/// One line each, for the message of a failed assertion.
impl Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(no requests)");
        }
        self.0.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// A line of the log, as audit.k8s.io/v1 has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    verb: String,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
    user: User,
    #[serde(default)]
    impersonated_user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(rename = "sourceIPs", default)]
    source_ips: Vec<String>,
    #[serde(default)]
    object_ref: ObjectReference,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(default)]
    request_received_timestamp: String,
    #[serde(default)]
    stage_timestamp: String,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl Event {
    fn ends_a_watch(&self) -> bool {
        self.verb == "watch" && self.stage == "ResponseComplete" && self.response_status.code < 300
    }
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Entry {
            user: event.user.username,
            impersonated: event.impersonated_user.username,
            verb: event.verb,
            group: event.object_ref.api_group,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            code: event.response_status.code,
            uri: event.request_uri,
            user_agent: event.user_agent,
            source: event.source_ips.into_iter().next().unwrap_or_default(),
            received: event.request_received_timestamp,
            answered: event.stage_timestamp,
        }
    }
}
