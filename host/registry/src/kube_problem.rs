use std::time::Duration;

use crate::error::innermost_cause;

/// The API server did not answer in this time.
pub(crate) fn no_answer(patience: Duration) -> String {
    format!("no answer within {} s", patience.as_secs())
}

/// An error of the API server, or of the connection to it, in one line with the remedy.
pub(crate) fn kube_problem(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else {
        let cause = innermost_cause(error);
        return format!("the API server cannot be reached: {cause}");
    };
    match status.code {
        403 => format!("{}; grant get, list and watch of it", status.message),
        _ => status.message.clone(),
    }
}
