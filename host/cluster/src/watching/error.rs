use handler_host_core::{GrantError, Kind};

/// Why a handler cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kinds can never be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A watch or a worker ended by itself. A restart of the host loses nothing.
    #[error(
        "a part of the host ended ({0}); this is a defect of the host: restart it, and report the log"
    )]
    Ended(String),
    /// Namespaces were named, but the parents are cluster-scoped.
    #[error(
        "{parent} is cluster-scoped, so --namespace does not apply to it; leave --namespace out"
    )]
    Namespaces {
        /// The parent's kind.
        parent: Kind,
    },
}
