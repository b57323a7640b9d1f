//! Requests to the API server: each with a deadline, and each failure said with what was being done.

use std::time::Duration;

use tokio::time::timeout;

/// The longest that an answer is waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server, or the way to it.
    #[error("{act}: {}", words(source))]
    Request {
        /// What was being done, to what.
        act: String,
        /// Why it failed.
        source: kube::Error,
    },
    /// No answer.
    #[error("{act}: no answer within {} s", DEADLINE.as_secs())]
    Timeout {
        /// What was being done, to what.
        act: String,
    },
    /// The Lease is not such as this protocol can be run on.
    #[error("{0}")]
    Unusable(String),
}

impl Failure {
    /// The API server's own words, where it has refused.
    pub fn refusal(&self) -> Option<(u16, &str)> {
        match self {
            Self::Request { source: kube::Error::Api(status), .. } => Some((status.code, &status.message)),
            Self::Request { .. } | Self::Timeout { .. } | Self::Unusable(_) => None,
        }
    }

    /// Whether something else was written first.
    pub fn is_conflict(&self) -> bool {
        self.refusal().is_some_and(|(code, _)| code == 409)
    }

    /// Whether the API server does not know us, or lets us do no such thing.
    pub fn is_denied(&self) -> bool {
        self.refusal().is_some_and(|(code, _)| matches!(code, 401 | 403))
    }

    /// Whether what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|(code, _)| code == 404)
    }
}

/// What a person can act on: the API server's own sentence, or "Connection refused" rather than "client error (Connect)".
fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} ({})", status.message, status.code);
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Waits for `request`, within its deadline.
///
/// # Errors
/// [`Failure`], naming `act` and `subject`.
pub async fn bounded<T>(act: &str, subject: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    let act = || format!("{act} {subject}");
    match timeout(DEADLINE, request).await {
        Ok(result) => result.map_err(|source| Failure::Request { act: act(), source }),
        Err(_) => Err(Failure::Timeout { act: act() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_in_the_api_servers_own_words() {
        let status = serde_json::json!({"code": 403, "reason": "Forbidden", "message": "pods \"web-1\" is forbidden: exceeded quota"});
        let source = kube::Error::Api(Box::new(serde_json::from_value(status).expect("a status")));
        let failure = Failure::Request { act: "creating Pod web-1".into(), source };
        assert_eq!(failure.to_string(), "creating Pod web-1: pods \"web-1\" is forbidden: exceeded quota (403)");
        assert!(failure.is_denied() && !failure.is_conflict());
    }
}
