//! Handles the annotations by which a user requests something. Each value acts once.
//!
//! The controller only records a value that it finds at its first look. A restored or re-applied object
//! therefore requests nothing.

use crate::api::{SingletonJob, SingletonJobStatus};
use crate::contract::labels::RUN_REQUESTED_AT;

/// How many characters of a value count, because status and the Lease store it.
pub const LONGEST: usize = 253;

/// A request of a user that status does not yet record as handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRequest<Answer> {
    /// The value of its annotation.
    pub text: String,
    /// What the controller does about it.
    pub answer: Answer,
}

/// The value of the annotation `name`, without spaces around it. `None` if there is none, or if it is empty.
pub fn annotation<'a>(job: &'a SingletonJob, name: &str) -> Option<&'a str> {
    let value = job.metadata.annotations.as_ref()?.get(name)?.trim();
    (!value.is_empty()).then_some(value)
}

/// The request in the annotation `name`. `None` if there is none, or if status says that it was `handled`
/// last.
pub fn unsettled(
    job: &SingletonJob,
    name: &str,
    handled: impl Fn(&SingletonJobStatus) -> Option<&String>,
) -> Option<String> {
    let text: String = annotation(job, name)?.chars().take(LONGEST).collect();
    (job.status.as_ref().and_then(handled) != Some(&text)).then_some(text)
}

/// The request to run: see [`unsettled`].
pub fn to_run(job: &SingletonJob) -> Option<String> {
    unsettled(job, RUN_REQUESTED_AT, |status| status.last_handled_run_request.as_ref())
}

/// Whether a controller has looked at `job` before. The controller acts only on what a user asks for after
/// that.
pub fn is_looked_after(job: &SingletonJob) -> bool {
    job.status.as_ref().is_some_and(|status| status.observed_generation.is_some())
}
