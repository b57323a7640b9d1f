//! Why a run ended, in a word and in a sentence. [`attempt`] says the same of an attempt.

pub mod attempt;

use nix::sys::signal::Signal;

use super::{ReportContext, format};
use crate::api::conditions::reasons;
use crate::contract::exit_codes;
use crate::controller::observe::candidate::Candidate;
use crate::lease::annotations::{Exit, FailedPod, Finished, Policy, Reason};
use crate::lease::identity::Identity;

/// Reasons of the kubelet that say nothing beyond the exit code.
const EMPTY: [&str; 2] = ["Error", "Completed"];
/// Reasons why an attempt ended that tell a user more than that it was the last one.
const TELLING: [&str; 2] = [reasons::OOM_KILLED, reasons::UNHEALTHY];

/// What the Lease or the pod says about the last attempt beyond its exit code.
///
/// Only the pod of a lost attempt can explain it, and that is not the pod of the candidate that found it
/// lost. The last other pod that ended counts, and only if memory was the reason, because many things end a
/// pod.
pub fn cause(context: &ReportContext<'_>, finished: &Finished) -> Option<String> {
    if finished.unhealthy {
        return Some(reasons::UNHEALTHY.to_owned());
    }
    let candidates = &context.observed.candidates;
    let (by, others): (Vec<_>, Vec<_>) =
        candidates.iter().partition(|candidate| finished.by.pod_uid() == Some(&candidate.uid));
    let last = |candidates: Vec<&Candidate>| {
        let ended = candidates.into_iter().filter_map(Candidate::end).max_by_key(|end| end.at);
        ended.and_then(|end| end.reason.clone())
    };
    if finished.token.is_some() {
        last(by).filter(|reason| adds_to_exit_code(reason))
    } else {
        last(others).filter(|reason| reason == reasons::OOM_KILLED)
    }
}

/// Whether the kubelet's reason for the end of a container says more than its exit code.
pub(super) fn adds_to_exit_code(reason: &str) -> bool {
    !EMPTY.contains(&reason)
}

/// The reason why a run ended, in one word: batch/v1's, or what ended the last attempt if that tells more.
pub fn reason(finished: &Finished, cause: Option<&str>) -> String {
    let telling =
        cause.filter(|cause| finished.reason == reasons::BACKOFF_LIMIT_EXCEEDED && TELLING.contains(cause));
    telling.unwrap_or(&finished.reason).to_owned()
}

/// The reason of the condition `Failed`, which is always one that batch/v1 would give.
pub fn condition_reason(reason: &str) -> &str {
    if TELLING.contains(&reason) { reasons::BACKOFF_LIMIT_EXCEEDED } else { reason }
}

/// Why a run ended, in one sentence. A `failed_pod` that was the last failure says more than the end of the
/// attempt that was stopped for it. It also says more than that no attempt began.
pub fn sentence(
    finished: &Finished,
    cause: Option<&str>,
    policy: Option<&Policy>,
    failed_pod: Option<&FailedPod>,
) -> String {
    if let Some(pod) = failed_pod {
        return format::failed_pod(pod);
    }
    let ended = match (finished.exit, cause) {
        (Some(exit), cause) => exited(exit, cause),
        (None, Some(cause)) => format!("its holder stopped renewing the Lease ({cause})"),
        (None, None) => "its holder stopped renewing the Lease".to_owned(),
    };
    let attempt = format!("attempt {} in {}: {ended}", finished.attempt, finished.by.pod());
    match finished.reason.as_str() {
        reasons::FAILURE_POLICY => format!("{attempt}; {} fails the run at once", rule(finished, policy)),
        reasons::DEADLINE_EXCEEDED if finished.exit.is_some() => format!("{attempt}; {}", too_long(policy)),
        reasons::DEADLINE_EXCEEDED => too_long(policy),
        _ => attempt,
    }
}

/// The pod whose failure was the last that the run was allowed. The controller found the failure out after
/// its attempt, and no later attempt has ended by itself.
pub fn failed_pod<'a>(context: &'a ReportContext<'_>, finished: &Finished) -> Option<&'a FailedPod> {
    let annotations = &context.record()?.annotations;
    let run = annotations.run.as_ref().filter(|run| run.uid == finished.uid && run.number == finished.run)?;
    let stopped = annotations
        .released
        .as_ref()
        .is_some_and(|mark| mark.by == finished.by && mark.reason == Reason::Stopped);
    let is_reason =
        finished.reason == reasons::BACKOFF_LIMIT_EXCEEDED && (stopped || finished.token.is_none());
    if is_reason { run.failed_pods.last() } else { None }
}

/// The candidate of that identity, if its pod is still there.
pub fn by_uid<'a>(context: &'a ReportContext<'_>, identity: &Identity) -> Option<&'a Candidate> {
    context.observed.candidates.iter().find(|candidate| identity.pod_uid() == Some(&candidate.uid))
}

/// "exit code 137 (OOMKilled)".
fn exited(exit: Exit, meaning: Option<&str>) -> String {
    let meaning = meaning.map_or(String::new(), |meaning| format!(" ({meaning})"));
    format!("exit code {}{meaning}", exit.code())
}

/// What a shell would say of the exit code, or the name of the signal.
fn meaning(exit: Exit) -> Option<String> {
    match exit {
        Exit::Code(exit_codes::NOT_FOUND) => Some("command not found".to_owned()),
        Exit::Code(exit_codes::CANNOT_EXECUTE) => Some("command cannot be executed".to_owned()),
        Exit::Signal(number) => Signal::try_from(number).ok().map(|signal| signal.to_string()),
        Exit::Code(_) => None,
    }
}

fn rule(finished: &Finished, policy: Option<&Policy>) -> String {
    let decides = finished.exit.zip(policy).and_then(|(exit, policy)| policy.failure_policy.rule(exit));
    decides.map_or_else(
        || "spec.failurePolicy".to_owned(),
        |(place, _)| format!("spec.failurePolicy.rules[{place}]"),
    )
}

fn too_long(policy: Option<&Policy>) -> String {
    let seconds = policy
        .and_then(|policy| policy.active_deadline_seconds)
        .map_or(String::new(), |seconds| format!(" of {seconds}"));
    format!("the run took longer than spec.activeDeadlineSeconds{seconds}")
}
