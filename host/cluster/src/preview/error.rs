use handler_host_core::{GrantError, Kind};

use crate::api::{ApiError, missing};
use crate::watching::KindsError;

/// Why there is no preview. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The description cannot be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A kind is not served.
    #[error("{}", missing(.0))]
    NotServed(Kind),
    /// Namespaces were named for parents that live in none.
    #[error("{0} is cluster-scoped and lives in no namespace; name none")]
    Namespaces(Kind),
    /// The API server refused a request that only reads.
    #[error("{action}: {message}; preview as somebody who may")]
    Refused {
        /// What was asked for.
        action: String,
        /// Why not.
        message: String,
    },
    /// The API server cannot answer.
    #[error("{action}: {message}; preview again when the API server answers")]
    Unavailable {
        /// What was asked for.
        action: String,
        /// Why not.
        message: String,
    },
}

impl PreviewError {
    pub(super) fn of(refusal: &ApiError, action: String) -> Self {
        let message = refusal.to_string();
        match refusal {
            ApiError::Conflict | ApiError::NotFound(_) | ApiError::Rejected(_) => {
                Self::Refused { action, message }
            }
            ApiError::Unavailable(..) => Self::Unavailable { action, message },
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
