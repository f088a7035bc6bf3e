use handler_host_core::{GrantError, Kind};

/// Why a handler is not served at all.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The description cannot be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A part of the host ended by itself. Whoever restarts the host loses nothing.
    #[error(
        "a part of the host ended ({0}); this is a defect of the host: restart it, and report the log"
    )]
    Ended(String),
    /// Namespaces were named for parents that live in none.
    #[error(
        "{parent} is cluster-scoped, so --namespace does not apply to it; leave --namespace out"
    )]
    Namespaces {
        /// The parent's kind.
        parent: Kind,
    },
}
