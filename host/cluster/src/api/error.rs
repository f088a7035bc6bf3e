use std::error::Error;
use std::fmt;
use std::time::Duration;

use kube::core::Status;
use kube::runtime::watcher;

use crate::metrics::WriteOutcome;

/// An error of the API server, by what it means for the request.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The object changed or exists already (409). It has to be read again.
    Conflict,
    /// The object, its namespace or its kind does not exist (404).
    NotFound(String),
    /// The API server refuses the request as it is (400, 403, 413, 422), or a webhook or a policy does, with whatever
    /// code. The same request is refused again.
    Rejected(String),
    /// The namespace of the object is being deleted (403 with a cause), so that nothing is created in it any more.
    Terminating(String),
    /// The API server fails with this object (500): it is too large, does not convert, or its webhook is dead. Other
    /// requests may work, and this one may later.
    Failed(String),
    /// The API server cannot answer now. It may ask to wait for some time.
    Unavailable(String, Option<Duration>),
}

/// How long a request may take. The API server ends requests after a minute by default, and a server that never
/// answers must not hold a worker for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a request is made that the API server puts off, where no later pass makes it again.
const TRIES: u32 = 5;
/// The longest wait between two of these attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Makes a request. If the API server has too much to do, the request is made again after the time that the API
/// server asks for.
pub(crate) async fn answered_with_retries<T, F>(request: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    for _ in 1..TRIES {
        let attempt = async {
            match request().await {
                Ok(answer) => Ok(Ok(answer)),
                Err(error) => requested_wait(&error).map(Err).ok_or(error),
            }
        };
        match answered(attempt).await? {
            Ok(answer) => return Ok(answer),
            Err(delay) => {
                // Requests that were put off together are not made again together.
                let share = 1.0 + fastrand::f64() / 2.0;
                tokio::time::sleep(delay.min(LONGEST_WAIT).mul_f64(share)).await;
            }
        }
    }
    answered(request()).await
}

/// How long the API server asks to wait before the same request is made again; None for another error.
fn requested_wait(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    match status.code {
        _ if is_denied(&status.message) => None,
        // A server that sheds load answers in plain text, and kube drops the header with the time to wait.
        429 => Some(retry_after(status).unwrap_or(Duration::from_secs(1))),
        500.. => retry_after(status),
        _ => None,
    }
}

/// Waits for the answer to a request, for a minute at most.
pub(crate) async fn answered<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(answer) => answer.map_err(|error| ApiError::of(&error)),
        Err(_) => {
            let message = format!("no answer within {} s", PATIENCE.as_secs());
            Err(ApiError::Unavailable(message, None))
        }
    }
}

impl ApiError {
    pub(crate) fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::Unavailable(connection_problem(error), None);
        };
        // After the first line, some validations print a diff of Go structures.
        let message = status.message.lines().next().unwrap_or_default().to_owned();
        match status.code {
            _ if is_denied(&message) => Self::Rejected(message),
            403 if has_cause(status, "NamespaceTerminating") => Self::Terminating(message),
            404 => Self::NotFound(message),
            409 => Self::Conflict,
            422 if is_about_uid(status) => Self::Conflict,
            // The host's credentials, a request that took too long, and too many requests are about all requests.
            401 | 408 | 429 => Self::Unavailable(message, retry_after(status)),
            400..=499 => Self::Rejected(message),
            500 if is_wrong_type(&message) => Self::Rejected(message),
            500 if !is_storage_outage(&message) => Self::Failed(message),
            _ => Self::Unavailable(message, retry_after(status)),
        }
    }
}

/// Whether an admission webhook or policy refused the object. Either chooses the code of the answer freely, so that a
/// refusal may look like a conflict or like an outage.
fn is_denied(message: &str) -> bool {
    let is_webhooks =
        message.starts_with("admission webhook ") && message.contains(" denied the request");
    is_webhooks
        || (message.contains("ValidatingAdmissionPolicy ") && message.contains(" denied request"))
}

/// Whether a field of the applied object has another type than the schema of its kind says: the object is wrong, although
/// the API server answers 500.
fn is_wrong_type(message: &str) -> bool {
    message.starts_with("failed to create typed patch object")
        || (message.starts_with("failed to convert new object")
            && message.contains("quantities must match"))
}

/// Whether the API server lacks its storage, which it reports as an internal error too. An object that is too large for
/// etcd is no such case.
fn is_storage_outage(message: &str) -> bool {
    let is_too_large = message.contains("too large") || message.contains("larger than max");
    let is_etcd = [
        "etcdserver: ",
        "rpc error: code = ",
        "context deadline exceeded",
    ];
    !is_too_large && is_etcd.iter().any(|start| message.starts_with(start))
}

fn has_cause(status: &Status, reason: &str) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == reason)
}

impl ApiError {
    /// Whether the API server refuses a request that only reads. If not, it may answer the same request later.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Conflict | Self::NotFound(_) | Self::Rejected(_) | Self::Terminating(_) => true,
            Self::Failed(_) | Self::Unavailable(..) => false,
        }
    }
}

impl<T> From<&Result<T, ApiError>> for WriteOutcome {
    fn from(written: &Result<T, ApiError>) -> Self {
        match written {
            Ok(_) => Self::Written,
            Err(ApiError::Conflict) => Self::Conflict,
            Err(ApiError::NotFound(_)) => Self::NotFound,
            Err(ApiError::Rejected(_) | ApiError::Terminating(_) | ApiError::Failed(_)) => {
                Self::Rejected
            }
            Err(ApiError::Unavailable(..)) => Self::Unavailable,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("the object changed meanwhile"),
            Self::NotFound(message)
            | Self::Rejected(message)
            | Self::Terminating(message)
            | Self::Failed(message)
            | Self::Unavailable(message, _) => f.write_str(message),
        }
    }
}

/// An apply that names the uid of an object that was replaced is answered as a change of an immutable field.
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

/// The error of a watch in one line. It does not name what is watched: the log line does.
pub(crate) fn watch_problem(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => connection_problem(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn answer(code: u16, seconds: u32) -> kube::Error {
        let status =
            json!({"code": code, "message": "m", "details": {"retryAfterSeconds": seconds}});
        kube::Error::Api(serde_json::from_value(status).unwrap())
    }

    const HOOK: &str = "admission webhook \"x.example.com\" denied the request: no";

    #[rstest]
    #[case::exists(409, "", "AlreadyExists", "conflict")]
    #[case::webhook_says_conflict(409, HOOK, "", "rejected")]
    #[case::webhook_says_busy(429, HOOK, "", "rejected")]
    #[case::webhook_says_gone(503, HOOK, "", "rejected")]
    #[case::policy(
        401,
        "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
        "",
        "rejected"
    )]
    #[case::forbidden(403, "pods is forbidden", "", "rejected")]
    #[case::namespace_goes(403, "being terminated", "NamespaceTerminating", "terminating")]
    #[case::missing(404, "namespaces \"a\" not found", "", "not found")]
    #[case::too_large_for_the_api_server(413, "Request entity too large", "", "rejected")]
    #[case::invalid(422, "is invalid", "FieldValueInvalid", "rejected")]
    #[case::unsupported(415, "unsupported media type", "", "rejected")]
    #[case::credentials(401, "Unauthorized", "", "unavailable")]
    #[case::too_many(429, "too many requests", "", "unavailable")]
    #[case::too_large_for_etcd(500, "etcdserver: request is too large", "", "failed")]
    #[case::too_large_for_grpc(
        500,
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max",
        "",
        "failed"
    )]
    #[case::dead_webhook(
        500,
        "Internal error occurred: failed calling webhook \"x\": connection refused",
        "",
        "failed"
    )]
    #[case::slow_webhook(
        500,
        "Internal error occurred: failed calling webhook \"x\": context deadline exceeded",
        "",
        "failed"
    )]
    #[case::conversion(500, "conversion webhook for x failed", "", "failed")]
    #[case::wrong_quantity(
        500,
        "failed to convert new object (ns/a; /v1, Kind=Pod) to proto: quantities must match the regular expression",
        "",
        "rejected"
    )]
    #[case::wrong_type(
        500,
        "failed to create typed patch object (ns/a): .spec: expected map",
        "",
        "rejected"
    )]
    #[case::no_leader(500, "etcdserver: no leader", "", "unavailable")]
    #[case::etcd_gone(
        500,
        "rpc error: code = Unavailable desc = connection refused",
        "",
        "unavailable"
    )]
    #[case::away(
        503,
        "the server is currently unable to handle the request",
        "",
        "unavailable"
    )]
    #[case::slow(504, "Timeout: request did not complete", "", "unavailable")]
    fn an_error_is_about_the_object_or_about_all_requests(
        #[case] code: u16,
        #[case] message: &str,
        #[case] cause: &str,
        #[case] class: &str,
    ) {
        let status =
            json!({"code": code, "message": message, "details": {"causes": [{"reason": cause}]}});
        let error = kube::Error::Api(serde_json::from_value(status).unwrap());
        let found = match ApiError::of(&error) {
            ApiError::Conflict => "conflict",
            ApiError::NotFound(_) => "not found",
            ApiError::Rejected(_) => "rejected",
            ApiError::Terminating(_) => "terminating",
            ApiError::Failed(_) => "failed",
            ApiError::Unavailable(..) => "unavailable",
        };
        assert_eq!(found, class);
    }

    #[tokio::test]
    async fn a_request_that_is_put_off_is_made_again_in_its_time() {
        let (made, started) = (Cell::new(0), Instant::now());
        let answer = answered_with_retries(|| {
            made.set(made.get() + 1);
            let is_first = made.get() == 1;
            async move {
                if is_first {
                    Err(answer(429, 1))
                } else {
                    Ok("done")
                }
            }
        });
        assert_eq!(answer.await.unwrap(), "done");
        assert_eq!(made.get(), 2);
        assert!(started.elapsed() >= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_request_that_is_refused_is_made_once() {
        for code in [403, 409, 422, 503] {
            let made = Cell::new(0);
            let error = answered_with_retries(|| {
                made.set(made.get() + 1);
                async { Err::<(), _>(answer(code, 0)) }
            });
            assert!(error.await.is_err());
            assert_eq!(made.get(), 1, "{code}");
        }
    }
}
