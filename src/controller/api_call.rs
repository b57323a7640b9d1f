//! Requests to the API server. Each has a deadline, and each failure names the request.

use std::time::Duration;

use kube::api::{PatchParams, PostParams};
use kube::core::response::StatusCause;
use tokio::time::sleep;

use crate::contract::field_managers::CONTROLLER;
use crate::lease::request::{Unanswered, bounded, root_cause};

/// How long the controller waits for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two attempts to reach an API server.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// The cause that the API server names if it refuses to create an object in a namespace that is being
/// deleted.
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// A request that failed, or a Lease that candidates cannot use.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server returned an error, or was unreachable.
    #[error("{act}: {}", root_cause(source))]
    Request {
        /// What was being done, to what.
        act: String,
        /// Why it failed.
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("{act}: no answer within {} s", DEADLINE.as_secs())]
    Timeout {
        /// What was being done, to what.
        act: String,
    },
    /// The Lease is malformed, so that candidates cannot run the protocol on it.
    #[error("{0}")]
    Unusable(String),
}

impl Failure {
    /// The status code and message of the API server, if it refused the request.
    pub fn refusal(&self) -> Option<(u16, &str)> {
        match self {
            Self::Request { source: kube::Error::Api(status), .. } => Some((status.code, &status.message)),
            Self::Request { .. } | Self::Timeout { .. } | Self::Unusable(_) => None,
        }
    }

    /// The API server's message, if it would refuse the same request again. Such a refusal comes from a
    /// quota, a policy, a webhook or missing permissions.
    ///
    /// `None` if it was too busy, something else was written first, the object is gone, or its namespace is
    /// about to go.
    pub fn refuses(&self) -> Option<String> {
        let (code, message) = self.refusal()?;
        let is_passing = matches!(code, 401 | 404 | 408 | 429) || !(400..500).contains(&code);
        let is_passing = is_passing || self.is_conflict();
        (!is_passing && !self.is_of_terminating_namespace()).then(|| message.to_owned())
    }

    /// Whether nothing can be made because the namespace is being deleted.
    pub fn is_of_terminating_namespace(&self) -> bool {
        self.causes().any(|cause| cause.reason == NAMESPACE_TERMINATING)
    }

    /// Whether the API server's own validation found fields at fault. A policy that denies a request names
    /// none.
    pub fn is_invalid(&self) -> bool {
        self.is_unprocessable() && self.causes().any(|cause| !cause.field.is_empty())
    }

    /// Whether something else was written first, or the object is another one of its name by now.
    pub fn is_conflict(&self) -> bool {
        self.refusal().is_some_and(|(code, _)| code == 409) || self.is_about_another_uid()
    }

    /// Whether a patch that names a uid met an object that has another. The API server calls that invalid.
    fn is_about_another_uid(&self) -> bool {
        self.is_unprocessable() && self.causes().any(|cause| cause.field == "metadata.uid")
    }

    fn is_unprocessable(&self) -> bool {
        self.refusal().is_some_and(|(code, _)| code == 422)
    }

    /// What the API server names as causes of its refusal.
    fn causes(&self) -> impl Iterator<Item = &StatusCause> {
        let status = match self {
            Self::Request { source: kube::Error::Api(status), .. } => Some(status),
            Self::Request { .. } | Self::Timeout { .. } | Self::Unusable(_) => None,
        };
        status.and_then(|status| status.details.as_ref()).into_iter().flat_map(|details| &details.causes)
    }

    /// Whether the API server rejects the credentials of the controller, or denies it the request.
    pub fn is_denied(&self) -> bool {
        self.refusal().is_some_and(|(code, _)| matches!(code, 401 | 403))
    }

    /// Whether no API server could serve the request: none was reachable, or it was failing or too busy.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Request { .. } => self.refusal().is_none_or(|(code, _)| code >= 500 || code == 429),
            Self::Timeout { .. } => true,
            Self::Unusable(_) => false,
        }
    }

    /// Whether the requested object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|(code, _)| code == 404)
    }
}

/// Waits for `request`, within its deadline.
///
/// # Errors
/// [`Failure`], naming `act` and `subject`.
pub async fn with_deadline<T>(
    act: &str,
    subject: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Failure> {
    let act = || format!("{act} {subject}");
    bounded(DEADLINE, request).await.map_err(|why| match why {
        Unanswered::Failed(source) => Failure::Request { act: act(), source },
        Unanswered::TimedOut => Failure::Timeout { act: act() },
    })
}

/// Repeats a request while the API server is out of reach, so that a program that starts during an outage
/// waits for its end. A refusal is final.
///
/// # Errors
/// The API server's refusal.
pub async fn once_reached<T>(ask: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        match ask().await {
            Err(failure) if failure.is_outage() => {
                tracing::warn!(%failure, "the API server is out of reach; asking again");
                sleep(ASK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

/// The pause before a request is repeated for the `times`th time: `first`, doubled each time, `longest` at
/// most.
pub fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(longest)
}

/// Parameters for creating or replacing an object, with the controller's field manager.
pub fn in_our_name() -> PostParams {
    PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() }
}

/// Parameters for patching an object, with the controller's field manager.
pub fn merging() -> PatchParams {
    PatchParams { field_manager: Some(CONTROLLER.to_owned()), ..PatchParams::default() }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn refused() -> Failure {
        answered(403, "pods \"web-1\" is forbidden: exceeded quota")
    }

    fn answered(code: u16, message: &str) -> Failure {
        let status = serde_json::json!({"code": code, "message": message});
        let source = kube::Error::Api(Box::new(serde_json::from_value(status).expect("a status")));
        Failure::Request { act: "creating Pod web-1".into(), source }
    }

    #[test]
    fn a_refusal_is_said_in_the_api_servers_own_words() {
        assert_eq!(
            refused().to_string(),
            "creating Pod web-1: pods \"web-1\" is forbidden: exceeded quota (403)"
        );
        assert!(refused().is_denied() && !refused().is_conflict());
    }

    #[test]
    fn an_api_server_that_is_too_busy_refuses_nobody_in_particular() {
        assert!(answered(429, "too many requests").is_outage() && answered(503, "starting").is_outage());
        assert!(!answered(409, "something else was written first").is_outage() && !refused().is_outage());
    }

    #[test]
    fn what_passes_by_itself_is_no_refusal() {
        let refuses = |code| answered(code, "no").refuses().is_some();
        assert_eq!([400, 403, 405, 413, 422].map(refuses), [true; 5]);
        assert_eq!([401, 404, 408, 409, 429, 500, 503, 504].map(refuses), [false; 8]);
    }

    #[test]
    fn a_namespace_that_is_being_deleted_refuses_nothing() {
        let causes = serde_json::json!([{"reason": "NamespaceTerminating", "message": "namespace shop is being terminated", "field": "metadata.namespace"}]);
        let status = serde_json::json!({"code": 403, "message": "unable to create new content", "details": {"causes": causes}});
        let source = kube::Error::Api(Box::new(serde_json::from_value(status).expect("a status")));
        let failure = Failure::Request { act: "creating Pod web-1".into(), source };
        assert!(failure.is_of_terminating_namespace() && failure.refuses().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_for_and_a_refusal_is_not() {
        let asked = Cell::new(0);
        let answer = once_reached(async || {
            asked.set(asked.get() + 1);
            if asked.get() < 3 {
                Err::<(), _>(Failure::Timeout { act: "reading Pod".into() })
            } else {
                Err(refused())
            }
        });
        assert!(answer.await.is_err_and(|failure| failure.is_denied()));
        assert_eq!(asked.get(), 3);
    }
}
