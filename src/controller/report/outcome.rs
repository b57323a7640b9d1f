//! Why a run ended, in a word and in a sentence.

use nix::sys::signal::Signal;

use super::{ReportContext, format};
use crate::api::SingletonJobStatus;
use crate::api::conditions::reasons;
use crate::contract::exit_codes;
use crate::controller::observe::candidate::Candidate;
use crate::lease::annotations::{Exit, FailedPod, FailureAction, Finished, Policy, Reason, Released};
use crate::lease::identity::Identity;

/// Reasons that say nothing beyond the exit code.
const EMPTY: [&str; 2] = ["Error", "Completed"];
/// Why an attempt ended: more telling than that it was the last one.
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

/// One word: what batch/v1 would say, or what ended the last attempt where that tells more.
pub fn word(finished: &Finished, cause: Option<&str>) -> String {
    let telling =
        cause.filter(|cause| finished.reason == reasons::BACKOFF_LIMIT_EXCEEDED && TELLING.contains(cause));
    telling.unwrap_or(&finished.reason).to_owned()
}

/// The reason of the condition `Failed`, which is always one that batch/v1 would give.
pub fn of_condition(word: &str) -> &str {
    if TELLING.contains(&word) { reasons::BACKOFF_LIMIT_EXCEEDED } else { word }
}

/// One sentence. Where `failed_pod` was the last failure, it says more than how the attempt ended that was
/// stopped for it, or that none began.
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

/// The pod whose failure, found out after its attempt, was the last that the run was allowed: no attempt
/// after it has ended by itself.
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

/// The pod of an attempt that failed and does not count, where the Lease still tells, and why.
pub fn ignored(context: &ReportContext<'_>) -> (Option<String>, String) {
    if let Some(record) = context.record().filter(|record| record.tells_outcome()) {
        let pod = record.holder.as_ref().map(|holder| holder.pod().to_owned());
        return (pod, "spec.failurePolicy ignores how it ended".to_owned());
    }
    let released = context.record().and_then(|record| record.annotations.released.as_ref());
    let failure_policy = context
        .record()
        .and_then(|record| record.annotations.policy.as_ref())
        .map(|policy| &policy.failure_policy);
    let failed = released
        .filter(|released| released.reason == Reason::WorkloadFailed)
        .and_then(|released| Some((&released.by, released.exit?)));
    let rule = |exit| failure_policy?.rule(exit).filter(|(_, rule)| rule.action == FailureAction::Ignore);
    match failed.and_then(|(by, exit)| Some((by, exit, rule(exit)?.0))) {
        Some((by, exit, place)) => {
            let pod = by.pod().to_owned();
            let why =
                format!("exit code {} in {pod} is ignored by spec.failurePolicy.rules[{place}]", exit.code());
            (Some(pod), why)
        }
        None => {
            (None, "it was lost with its holder, which spec.failurePolicy.onLeaseLoss ignores".to_owned())
        }
    }
}

/// The pod whose attempt has failed, and how, as far as the Lease and the pods tell.
pub fn failed(context: &ReportContext<'_>, old: &SingletonJobStatus) -> (Option<String>, String) {
    if let Some(holder) =
        context.record().filter(|record| record.tells_outcome()).and_then(|record| record.holder.as_ref())
    {
        return (
            Some(holder.pod().to_owned()),
            format!("the workload failed in {}; its log says why", holder.pod()),
        );
    }
    let annotations = context.record().map(|record| &record.annotations);
    let failures = [Reason::WorkloadFailed, Reason::LeaseLost, Reason::ElectorDied];
    let released = annotations.and_then(|annotations| annotations.released.as_ref());
    if let Some(released) = released.filter(|released| failures.contains(&released.reason)) {
        let pod = released.by.pod();
        return (Some(pod.to_owned()), format!("the workload failed in {pod}: {}", how(context, released)));
    }
    if let Some(pod) =
        annotations.and_then(|annotations| annotations.run.as_ref()).and_then(|run| run.failed_pods.last())
    {
        return (Some(pod.name.clone()), format::failed_pod(pod));
    }
    let silent = context
        .seen()
        .and_then(|seen| seen.observation.before.as_ref())
        .map(|before| before.holder.pod().to_owned());
    let silent = silent.or_else(|| old.takeovers.first().map(|takeover| takeover.to.clone()));
    let Some(pod) = silent else { return (None, "an attempt was lost with its holder".to_owned()) };
    let candidate = context.observed.candidates.iter().find(|candidate| candidate.name == pod);
    let why = killed_for_memory(context).map_or(String::new(), |why| format!(" ({why})"));
    let remembered = || old.lease.as_ref().filter(|lease| lease.holder.as_ref() == Some(&pod))?.node.clone();
    let node = candidate.and_then(|candidate| candidate.node.clone()).or_else(remembered);
    let node = node.map_or(String::new(), |node| format!(" on node {node}"));
    (Some(pod.clone()), format!("{pod}{node} fell silent{why}, and its attempt is lost"))
}

/// That memory was the reason why the holder before fell silent, by what the kubelet says of its container.
fn killed_for_memory<'a>(context: &'a ReportContext<'_>) -> Option<&'a str> {
    let before = context.seen()?.observation.before.as_ref()?;
    let termination = by_uid(context, &before.holder)?.termination(before.renewed?)?;
    termination.reason.as_deref().filter(|reason| *reason == reasons::OOM_KILLED)
}

/// The candidate of that identity, if its pod is still there.
pub fn by_uid<'a>(context: &'a ReportContext<'_>, identity: &Identity) -> Option<&'a Candidate> {
    context.observed.candidates.iter().find(|candidate| identity.pod_uid() == Some(&candidate.uid))
}

fn how(context: &ReportContext<'_>, released: &Released) -> String {
    let Some(exit) = released.exit else { return format::release(released.reason) };
    let unhealthy = released.unhealthy.then(|| reasons::UNHEALTHY.to_owned());
    let meaning = unhealthy.or_else(|| by_kubelet(context, released, exit)).or_else(|| meaning(exit));
    format!("{}; its log says why", exited(exit, meaning.as_deref()))
}

/// The kubelet's reason for the end of the tenure. `None` if it has not reported that yet, or says no more
/// than the exit code. The container of a service restarts in its pod, so that termination is meant which has
/// the exit code and followed the release.
fn by_kubelet(context: &ReportContext<'_>, released: &Released, exit: Exit) -> Option<String> {
    let pod = by_uid(context, &released.by)?;
    let termination = released
        .renew_time
        .and_then(|moment| pod.termination(moment))
        .filter(|termination| termination.exit_code == exit.code());
    let reason = pod.end().map_or_else(
        || termination.and_then(|termination| termination.reason.clone()),
        |end| end.reason.clone(),
    );
    reason.filter(|reason| adds_to_exit_code(reason))
}

/// "exit code 137 (OOMKilled)".
fn exited(exit: Exit, meaning: Option<&str>) -> String {
    let meaning = meaning.map_or(String::new(), |meaning| format!(" ({meaning})"));
    format!("exit code {}{meaning}", exit.code())
}

/// As a shell has it.
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
