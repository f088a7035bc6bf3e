use std::error::Error;
use std::io;
use std::path::PathBuf;

use handler_host_core::Digest;

use crate::LARGEST;

/// Why a source gives no module. Equal errors mean that nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// A file cannot be read.
    #[error("module {} cannot be read: {reason}; put it there, or correct the path", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The module is larger than any should be.
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
    /// What only a cluster holds was asked for without one.
    #[error("{what} is read from a cluster, and none is at hand; set --kubeconfig, or name a file")]
    NoCluster {
        /// The ConfigMap or Secret.
        what: String,
    },
    /// The cluster does not give it out.
    #[error("{what} cannot be read: {problem}")]
    Cluster {
        /// The ConfigMap or Secret.
        what: String,
        /// What the API server, or the way to it, said.
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
        /// The entry that is wanted.
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
        /// The entry that is wanted.
        key: String,
        /// The entries of `binaryData` that are there.
        keys: Vec<String>,
    },
    /// The entry is text, which a module is not.
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
    /// The text names no image.
    #[error(
        "{reference:?} names no image: {reason}; write host/repository:tag or host/repository@sha256:…"
    )]
    Reference {
        /// The text.
        reference: String,
        /// Why not.
        reason: String,
    },
    /// The registry does not give the image out, or it is no module.
    #[error("image {reference}: {problem}")]
    Image {
        /// The image.
        reference: String,
        /// What is wrong.
        problem: RegistryProblem,
    },
    /// A part of the host that reads modules came to grief.
    #[error("{origin} cannot be read: the thread that reads it failed; see the host's log")]
    Lost {
        /// What was read.
        origin: String,
    },
}

/// Why a module could not be pushed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The text names no place for an image.
    #[error("{reference:?} names no place for an image: {reason}; write host/repository:tag")]
    Reference {
        /// The text.
        reference: String,
        /// Why not.
        reason: String,
    },
    /// The registry does not take it.
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
    /// No connection, or one that broke.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
    /// It answers without TLS.
    #[error(
        "the registry speaks HTTP without TLS; if that is meant, set plainHttp: true (--plain-http)"
    )]
    PlainHttp,
    /// Its certificate is not trusted.
    #[error(
        "the registry's certificate is not trusted: {0}; add its CA to the system's, or name a file with it in SSL_CERT_FILE"
    )]
    Certificate(String),
    /// This machine cannot speak TLS.
    #[error(
        "no TLS is possible here: {0}; install the system's CA certificates, or name a file with them in SSL_CERT_FILE"
    )]
    NoTls(String),
    /// It accepted the connection, or not even that, and said nothing.
    #[error("the registry does not answer within {0:?}; see whether it is well")]
    Silent(std::time::Duration),
    /// All in all it took too long.
    #[error(
        "it was not done after {0:?}; see whether the registry is well, or push a smaller module"
    )]
    Slow(std::time::Duration),
    /// Somebody must say who they are.
    #[error(
        "registry {registry} asks for credentials, and {place} has none for it; `docker login {registry}` makes them, pullSecret names others"
    )]
    NoCredentials {
        /// The registry.
        registry: String,
        /// Where credentials were looked for.
        place: String,
    },
    /// Who they are is not enough.
    #[error(
        "registry {registry} refuses the credentials in {place}; renew them, or let them reach this repository"
    )]
    WrongCredentials {
        /// The registry.
        registry: String,
        /// Where the credentials are.
        place: String,
    },
    /// Credentials cannot be read.
    #[error("the credentials in {place} cannot be read: {reason}")]
    Credentials {
        /// Where the credentials are.
        place: String,
        /// Why not.
        reason: String,
    },
    /// It has no such image.
    #[error("the registry has no such image ({0}); push it, or correct the reference")]
    Missing(String),
    /// It answers with an error.
    #[error("the registry answers {code} to {what}: {message}")]
    Answer {
        /// The HTTP status.
        code: u16,
        /// What it was asked.
        what: String,
        /// Its words.
        message: String,
    },
    /// It sends more than it may.
    #[error(
        "the registry sends more than the {limit} bytes that {what} may have; nothing of it was used"
    )]
    TooLong {
        /// What was asked for.
        what: String,
        /// How many bytes there may be.
        limit: u64,
    },
    /// It sends something else than what was asked for.
    #[error("{what} is {found}, but {expected} was asked for; nothing of it was used")]
    Digest {
        /// What was asked for.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// What it sends cannot be read.
    #[error("{what} cannot be read: {reason}")]
    Garbled {
        /// What was asked for.
        what: String,
        /// Why not.
        reason: String,
    },
    /// The image holds something else than a module.
    #[error(
        "it holds no module, only {}; push one with `handler-host push` or `wkg oci push`",
        list(found)
    )]
    NoModule {
        /// The media types of its layers.
        found: Vec<String>,
    },
    /// The image holds several modules.
    #[error("it holds {0} modules, and which one is meant is not said; push an image with one")]
    SeveralModules(usize),
    /// The reference is that of several images.
    #[error("it is an index of several images; name one of them by its digest")]
    Index,
}

fn list(words: &[String]) -> String {
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.join(", ")
}

/// The innermost cause of an error, which says more than its wrappers.
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
        // An I/O error passes over what it wraps when it is asked for its source.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static));
        wrapped.or_else(|| error.source())
    })
}
