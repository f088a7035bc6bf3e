use std::error::Error;
use std::fmt;
use std::time::Duration;

use kube::core::Status;

/// What an error of the API server means for the one who asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The object is not what it was taken for, or exists already: look again.
    Conflict,
    /// The object, its namespace or its kind is not there.
    NotFound(String),
    /// The request will not do, now and as it is: 400, 403, 413, 422.
    Rejected(String),
    /// The server cannot answer: later, with the delay it asked for, if any.
    Unavailable(String, Option<Duration>),
}

/// How long a request may take. The API server gives up on its own requests after a minute by default;
/// one that never answers must not hold a worker for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the answer to a request.
pub(crate) async fn answered<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(answer) => answer.map_err(|error| Refusal::of(&error)),
        Err(_) => {
            let message = format!("no answer within {} s", PATIENCE.as_secs());
            Err(Refusal::Unavailable(message, None))
        }
    }
}

impl Refusal {
    pub(crate) fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::Unavailable(connection_problem(error), None);
        };
        // Behind the first line some validations print a diff of Go structures.
        let message = status.message.lines().next().unwrap_or_default().to_owned();
        match status.code {
            404 => Self::NotFound(message),
            409 => Self::Conflict,
            422 if is_about_uid(status) => Self::Conflict,
            400 | 403 | 405 | 413 | 422 => Self::Rejected(message),
            // A field of another type than its kind's schema says: the mistake of who applied it.
            500 if message.starts_with("failed to create typed patch object") => {
                Self::Rejected(message)
            }
            _ => Self::Unavailable(message, retry_after(status)),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("the object changed meanwhile"),
            Self::NotFound(message) | Self::Rejected(message) | Self::Unavailable(message, _) => {
                f.write_str(message)
            }
        }
    }
}

/// Applying with the uid of an object that was replaced is answered as a change of an immutable field.
fn is_about_uid(status: &Status) -> bool {
    let details = status.details.iter();
    details
        .flat_map(|details| &details.causes)
        .any(|cause| cause.field == "metadata.uid")
}

fn retry_after(status: &Status) -> Option<Duration> {
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// An error of the connection in one line: its innermost cause, which says more than its wrappers.
#[must_use]
pub fn connection_problem(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    innermost_cause(error)
}

/// The innermost cause of an error, which says more than its wrappers.
#[must_use]
pub fn innermost_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
