//! One request to the API server: its deadline, and the cause of its failure.

use std::error::Error;
use std::time::Duration;

use kube::core::Status;
use tokio::time::timeout;

/// Why a request has no result.
#[derive(Debug)]
pub enum Unanswered {
    /// The API server returned an error, or was unreachable.
    Failed(kube::Error),
    /// The API server did not answer in time.
    TimedOut,
}

/// Waits for `request`, for at most `deadline`.
///
/// # Errors
/// [`Unanswered`], if the request has failed or the deadline has passed.
pub async fn bounded<T>(
    deadline: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Unanswered> {
    match timeout(deadline, request).await {
        Ok(result) => result.map_err(Unanswered::Failed),
        Err(_) => Err(Unanswered::TimedOut),
    }
}

/// The cause of `error` that a user can act on: the API server's own sentence, or "Connection refused" rather
/// than "client error (Connect)".
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let cause = innermost(error);
    match cause.downcast_ref::<Box<Status>>() {
        Some(status) => format!("{} ({})", status.message, status.code),
        None => cause.to_string(),
    }
}

/// The cause of `error` that has no cause itself.
pub fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
