use handler_host_core::{GrantError, Kind};

use crate::api::{ApiError, missing};
use crate::watching::KindsError;

/// Why there is no preview. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The kinds can never be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A kind is not served.
    #[error("{}", missing(.0))]
    NotServed(Kind),
    /// Namespaces were named, but the parents are cluster-scoped.
    #[error("{0} is cluster-scoped and lives in no namespace; name none")]
    Namespaces(Kind),
    /// The API server refused a request that only reads.
    #[error("{action}: {message}; preview as somebody who may")]
    Refused {
        /// The request, for people.
        action: String,
        /// The answer of the API server.
        message: String,
    },
    /// The API server cannot answer.
    #[error("{action}: {message}; preview again when the API server answers")]
    Unavailable {
        /// The request, for people.
        action: String,
        /// The answer of the API server.
        message: String,
    },
}

impl PreviewError {
    pub(super) fn of(error: &ApiError, action: String) -> Self {
        let message = error.to_string();
        if error.is_refusal() {
            Self::Refused { action, message }
        } else {
            Self::Unavailable { action, message }
        }
    }
}

impl From<KindsError> for PreviewError {
    fn from(error: KindsError) -> Self {
        match error {
            KindsError::Grant(error) => Self::Grant(error),
            KindsError::NotServed(kind) => Self::NotServed(kind),
            KindsError::Refused { action, message } => Self::Refused { action, message },
            KindsError::Unavailable { action, message } => Self::Unavailable { action, message },
        }
    }
}
