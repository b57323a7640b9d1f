//! Why a run ended, in a word and in a sentence.

use super::{Account, words};
use crate::api::conditions::reasons;
use crate::controller::observe::candidate::Candidate;
use crate::lease::notes::{FailedPod, FailureAction, Finished, Policy, Reason};

/// Reasons that say nothing beyond the exit code.
const EMPTY: [&str; 2] = ["Error", "Completed"];
/// Why an attempt ended: more telling than that it was the last one.
const TELLING: [&str; 2] = [reasons::OOM_KILLED, reasons::UNHEALTHY];

/// What the Lease or the pod says about the last attempt beyond its exit code.
///
/// Of an attempt that was lost only its pod can tell, which is not that of whoever found it lost: the last of the others that ended, and only
/// if memory was the reason, for many things end a pod.
pub fn cause(account: &Account<'_>, finished: &Finished) -> Option<String> {
    if finished.unhealthy {
        return Some(reasons::UNHEALTHY.to_owned());
    }
    let candidates = &account.observed.candidates;
    let (by, others): (Vec<_>, Vec<_>) = candidates.iter().partition(|candidate| finished.by.pod_uid() == Some(&candidate.uid));
    let last = |candidates: Vec<&Candidate>| {
        let ended = candidates.into_iter().filter_map(Candidate::end).max_by_key(|end| end.at);
        ended.and_then(|end| end.reason.clone())
    };
    if finished.token.is_some() {
        last(by).filter(|reason| !EMPTY.contains(&reason.as_str()))
    } else {
        last(others).filter(|reason| reason == reasons::OOM_KILLED)
    }
}

/// One word: what batch/v1 would say, or what ended the last attempt where that tells more.
pub fn word(finished: &Finished, cause: Option<&str>) -> String {
    let telling = cause.filter(|cause| finished.reason == reasons::BACKOFF_LIMIT_EXCEEDED && TELLING.contains(cause));
    telling.unwrap_or(&finished.reason).to_owned()
}

/// The reason of the condition `Failed`, which is always one that batch/v1 would give.
pub fn of_condition(word: &str) -> &str {
    if TELLING.contains(&word) { reasons::BACKOFF_LIMIT_EXCEEDED } else { word }
}

/// One sentence. Where `failed_pod` was the last failure, it says more than how the attempt ended that was stopped for it, or that none began.
pub fn sentence(finished: &Finished, cause: Option<&str>, policy: Option<&Policy>, failed_pod: Option<&FailedPod>) -> String {
    if let Some(pod) = failed_pod {
        return words::failed_pod(pod);
    }
    let ended = match (finished.exit, cause) {
        (Some(exit), Some(cause)) => format!("exit code {} ({cause})", exit.code()),
        (Some(exit), None) => format!("exit code {}", exit.code()),
        (None, Some(cause)) => format!("its holder was lost ({cause})"),
        (None, None) => "its holder was lost".to_owned(),
    };
    let attempt = format!("attempt {} in {}: {ended}", finished.attempt, finished.by.pod());
    match finished.reason.as_str() {
        reasons::FAILURE_POLICY => format!("{attempt}; {} fails the run at once", rule(finished, policy)),
        reasons::DEADLINE_EXCEEDED if finished.exit.is_some() => format!("{attempt}; {}", too_long(policy)),
        reasons::DEADLINE_EXCEEDED => too_long(policy),
        _ => attempt,
    }
}

/// The pod whose failure, found out after its attempt, was the last that the run was allowed: no attempt after it has ended by itself.
pub fn failed_pod<'a>(account: &'a Account<'_>, finished: &Finished) -> Option<&'a FailedPod> {
    let notes = &account.record()?.notes;
    let run = notes.run.as_ref().filter(|run| run.uid == finished.uid && run.number == finished.run)?;
    let stopped = notes.released.as_ref().is_some_and(|mark| mark.by == finished.by && mark.reason == Reason::Stopped);
    let is_reason = finished.reason == reasons::BACKOFF_LIMIT_EXCEEDED && (stopped || finished.token.is_none());
    if is_reason { run.failed_pods.last() } else { None }
}

/// The pod of an attempt that failed and does not count, where the Lease still tells, and why.
pub fn ignored(account: &Account<'_>) -> (Option<String>, String) {
    if let Some(record) = account.record().filter(|record| record.tells_outcome()) {
        let pod = record.holder.as_ref().map(|holder| holder.pod().to_owned());
        return (pod, "spec.failurePolicy ignores how it ended".to_owned());
    }
    let released = account.record().and_then(|record| record.notes.released.as_ref());
    let failure_policy = account.record().and_then(|record| record.notes.policy.as_ref()).map(|policy| &policy.failure_policy);
    let failed =
        released.filter(|released| released.reason == Reason::WorkloadFailed).and_then(|released| Some((&released.by, released.exit?)));
    let rule = |exit| failure_policy?.rule(exit).filter(|(_, rule)| rule.action == FailureAction::Ignore);
    match failed.and_then(|(by, exit)| Some((by, exit, rule(exit)?.0))) {
        Some((by, exit, place)) => {
            let pod = by.pod().to_owned();
            let why = format!("exit code {} in {pod} is ignored by spec.failurePolicy.rules[{place}]", exit.code());
            (Some(pod), why)
        }
        None => (None, "it was lost with its holder, which spec.failurePolicy.onLeaseLoss ignores".to_owned()),
    }
}

fn rule(finished: &Finished, policy: Option<&Policy>) -> String {
    let decides = finished.exit.zip(policy).and_then(|(exit, policy)| policy.failure_policy.rule(exit));
    decides.map_or_else(|| "spec.failurePolicy".to_owned(), |(place, _)| format!("spec.failurePolicy.rules[{place}]"))
}

fn too_long(policy: Option<&Policy>) -> String {
    let seconds = policy.and_then(|policy| policy.active_deadline_seconds).map_or(String::new(), |seconds| format!(" of {seconds}"));
    format!("the run took longer than spec.activeDeadlineSeconds{seconds}")
}
