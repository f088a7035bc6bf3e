use std::error::Error;
use std::io;
use std::path::PathBuf;

use handler_host_core::{Digest, one_line};

use crate::LARGEST;

/// Why a source gives no module. Two equal errors in a row mean that nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The file cannot be read.
    #[error("module {} cannot be read: {reason}; put it there, or correct the path", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        reason: String,
    },
    /// The module is larger than [`LARGEST`].
    #[error("{origin} is larger than {} MiB; name a WebAssembly component", LARGEST >> 20)]
    TooLarge {
        /// Where it was found.
        origin: String,
    },
    /// The module is not the one that is pinned.
    #[error(
        "{origin} holds {found}, but {expected} is pinned; pin the new digest if that module is meant"
    )]
    DigestMismatch {
        /// Where it was found.
        origin: String,
        /// The digest that is pinned.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// The source is in a cluster, and there is no client of one.
    #[error("{what} is read from a cluster, and none is at hand; set --kubeconfig, or name a file")]
    NoCluster {
        /// The ConfigMap or Secret.
        what: String,
    },
    /// The API server does not return it.
    #[error("{what} cannot be read: {problem}")]
    Cluster {
        /// The ConfigMap or Secret.
        what: String,
        /// The error of the API server, or of the connection to it.
        problem: String,
    },
    /// There is no such ConfigMap.
    #[error(
        "there is no ConfigMap {name} in namespace {namespace}; `kubectl create configmap {name} --namespace {namespace} --from-file {key}` makes it"
    )]
    NoConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The entry that the source names.
        key: String,
    },
    /// The ConfigMap has no such entry.
    #[error(
        "ConfigMap {namespace}/{name} has no entry {key} in binaryData, only {}; name one of those, or add it",
        list(keys)
    )]
    NoEntry {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The entry that the source names.
        key: String,
        /// The entries that `binaryData` has.
        keys: Vec<String>,
    },
    /// The entry is in `data`, which holds text. A module is not text.
    #[error(
        "entry {key} of ConfigMap {namespace}/{name} is text; a module belongs into binaryData, where `kubectl create configmap {name} --from-file {key}` puts it"
    )]
    Text {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The entry.
        key: String,
    },
    /// The text is not the reference of an image.
    #[error(
        "{reference:?} names no image: {reason}; write host/repository:tag or host/repository@sha256:…"
    )]
    Reference {
        /// The text.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry does not return the image, or the image holds no module.
    #[error("image {reference}: {problem}")]
    Image {
        /// The image.
        reference: String,
        /// What is wrong.
        problem: RegistryProblem,
    },
    /// The thread of this host that reads the module failed.
    #[error("{origin} cannot be read: the thread that reads it failed; see the host's log")]
    Lost {
        /// What it was reading.
        origin: String,
    },
}

/// Why a module could not be pushed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The text is not a reference that an image can be pushed to.
    #[error("{reference:?} names no place for an image: {reason}; write host/repository:tag")]
    Reference {
        /// The text.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry does not accept the image.
    #[error("image {reference}: {problem}")]
    Image {
        /// The image.
        reference: String,
        /// What is wrong.
        problem: RegistryProblem,
    },
}

/// What goes wrong between this host and a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryProblem {
    /// There is no connection, or it broke.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
    /// The registry answers without TLS.
    #[error(
        "the registry speaks HTTP without TLS; if that is meant, set plainHttp: true (--plain-http)"
    )]
    PlainHttp,
    /// The registry's certificate is not trusted.
    #[error(
        "the registry's certificate is not trusted: {0}; add its CA to the system's, or name a file with it in SSL_CERT_FILE"
    )]
    Certificate(String),
    /// The module cannot be put down while it is pulled.
    #[error(
        "the module cannot be kept while it is pulled: {0}; give this host a directory with space by --state-dir or TMPDIR"
    )]
    Unkept(String),
    /// This machine cannot speak TLS.
    #[error(
        "no TLS is possible here: {0}; install the system's CA certificates, or name a file with them in SSL_CERT_FILE"
    )]
    NoTls(String),
    /// The registry did not accept the connection in time, or did not answer in time.
    #[error("the registry does not answer within {0:?}; check whether it works")]
    Silent(std::time::Duration),
    /// The whole fetch or push took too long.
    #[error(
        "it was not done after {0:?}; check whether the registry works, or push a smaller module"
    )]
    Slow(std::time::Duration),
    /// The registry requires credentials, and there are none.
    #[error(
        "registry {registry} asks for credentials, and {place} has none for it; `docker login {registry}` makes them, pullSecret names others"
    )]
    NoCredentials {
        /// The registry.
        registry: String,
        /// Where they were looked for.
        place: String,
    },
    /// The registry does not accept the credentials.
    #[error(
        "registry {registry} refuses the credentials in {place}; renew them, or give them access to this repository"
    )]
    WrongCredentials {
        /// The registry.
        registry: String,
        /// Where the credentials are.
        place: String,
    },
    /// The registry wants the credentials at a place that must not get them.
    #[error(
        "registry {registry} gives tokens at {realm}, which must not get the credentials in {place}; serve the tokens over TLS, or from the registry's own host and port"
    )]
    Realm {
        /// Where the registry gives tokens.
        realm: String,
        /// The registry.
        registry: String,
        /// Where the credentials are.
        place: String,
    },
    /// The registry names a server to which no request of this host may go.
    #[error(
        "the registry leads to {place}, {reason}; nothing was sent there. Have the registry serve its images, tokens and uploads itself, or from a server that others reach over TLS"
    )]
    Destination {
        /// The server.
        place: String,
        /// What it is.
        reason: String,
    },
    /// The registry redirects too often.
    #[error(
        "the registry redirects more than {0} times in a row; name the registry that has the image"
    )]
    Redirects(usize),
    /// The credentials cannot be read.
    #[error("the credentials in {place} cannot be read: {reason}")]
    Credentials {
        /// Where the credentials are.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry has no such image.
    #[error("the registry has no such image ({0}); push it, or correct the reference")]
    Missing(String),
    /// The registry answers with an error.
    #[error("the registry answers {code} to {what}: {message}")]
    Answer {
        /// The HTTP status.
        code: u16,
        /// What was asked for.
        what: String,
        /// The text of the answer.
        message: String,
    },
    /// The registry sends more than it may.
    #[error(
        "the registry sends more than the {limit} bytes that {what} may have; the host used nothing of it"
    )]
    TooLong {
        /// What was asked for.
        what: String,
        /// The largest number of bytes.
        limit: u64,
    },
    /// What the registry sends has another digest than what was asked for.
    #[error("{what} is {found}, but {expected} was asked for; nothing of it was used")]
    Digest {
        /// What was asked for.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// What the registry sends cannot be read.
    #[error("{what} cannot be read: {reason}")]
    Garbled {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image holds no module.
    #[error(
        "it holds no module, only {}; push one with `handler-host push` or `wkg oci push`",
        list(found)
    )]
    NoModule {
        /// The media types of its layers.
        found: Vec<String>,
    },
    /// The image holds several modules.
    #[error("it holds {0} modules, and must hold one; push an image with one module")]
    SeveralModules(usize),
    /// The reference names an index of several images.
    #[error("it is an index of several images; name one of them by its digest")]
    Index,
}

/// Some of the words, since a foreign server may send many and long ones.
fn list(words: &[String]) -> String {
    const MOST: usize = 10;
    if words.is_empty() {
        return "nothing".to_owned();
    }
    let shown = words.iter().take(MOST);
    let mut shown: Vec<String> = shown
        .map(|word| one_line(word).chars().take(100).collect())
        .collect();
    if let Some(more) = words.len().checked_sub(MOST).filter(|more| *more > 0) {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

/// The innermost cause of an error. It says more than the errors that wrap it.
pub(crate) fn innermost_cause(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// An error and its causes, outermost first.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        // The source of an I/O error is the source of the error that it wraps, so that one would be skipped.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        wrapped.or_else(|| error.source())
    })
}
