//! How an attempt failed, as far as the Lease and the pods tell.

use super::super::{ReportContext, format};
use super::{adds_to_exit_code, by_uid, exited, meaning};
use crate::api::SingletonJobStatus;
use crate::api::conditions::reasons;
use crate::lease::annotations::{Annotations, Exit, FailureAction, Reason, Released};

/// An attempt that failed.
pub struct FailedAttempt {
    /// Its pod, if that is known.
    pub pod: Option<String>,
    /// How it failed, or why its failure does not count: part of a sentence.
    pub how: String,
}

impl FailedAttempt {
    fn of(pod: impl Into<String>, how: String) -> Self {
        Self { pod: Some(pod.into()), how }
    }
}

/// The last attempt that failed and does not count, and why it does not.
pub fn ignored(context: &ReportContext<'_>) -> FailedAttempt {
    if let Some(record) = context.record().filter(|record| record.tells_outcome()) {
        let pod = record.holder.as_ref().map(|holder| holder.pod().to_owned());
        return FailedAttempt { pod, how: "spec.failurePolicy ignores how it ended".to_owned() };
    }
    annotations(context).and_then(ignored_by_rule).unwrap_or_else(|| FailedAttempt {
        pod: None,
        how: "its holder stopped renewing the Lease, which spec.failurePolicy.onLeaseLoss ignores".to_owned(),
    })
}

/// The attempt that was given back with an exit code that a rule ignores.
fn ignored_by_rule(annotations: &Annotations) -> Option<FailedAttempt> {
    let released = annotations.released.as_ref().filter(|mark| mark.reason == Reason::WorkloadFailed)?;
    let (pod, exit) = (released.by.pod(), released.exit?);
    let (place, rule) = annotations.policy.as_ref()?.failure_policy.rule(exit)?;
    let how = format!("exit code {} in {pod} is ignored by spec.failurePolicy.rules[{place}]", exit.code());
    if rule.action == FailureAction::Ignore { Some(FailedAttempt::of(pod, how)) } else { None }
}

/// The last attempt that failed and counts. The `old` status knows a holder that has fallen silent since.
pub fn failed(context: &ReportContext<'_>, old: &SingletonJobStatus) -> FailedAttempt {
    recorded(context)
        .or_else(|| given_back(context))
        .or_else(|| ended_by_kubelet(context))
        .unwrap_or_else(|| lost(context, old))
}

/// The attempt whose outcome stands in the Lease that its holder could not give back.
fn recorded(context: &ReportContext<'_>) -> Option<FailedAttempt> {
    let holder = context.record().filter(|record| record.tells_outcome())?.holder.as_ref()?;
    let how = format!("the workload failed in {}; its log says why", holder.pod());
    Some(FailedAttempt::of(holder.pod(), how))
}

/// The attempt that failed and was given back.
fn given_back(context: &ReportContext<'_>) -> Option<FailedAttempt> {
    let failures = [Reason::WorkloadFailed, Reason::LeaseLost, Reason::ElectorDied];
    let released = annotations(context)?.released.as_ref().filter(|mark| failures.contains(&mark.reason))?;
    let pod = released.by.pod();
    Some(FailedAttempt::of(pod, format!("the workload failed in {pod}: {}", how(context, released))))
}

/// The last pod that the kubelet ended for its own fault.
fn ended_by_kubelet(context: &ReportContext<'_>) -> Option<FailedAttempt> {
    let pod = annotations(context)?.run.as_ref()?.failed_pods.last()?;
    Some(FailedAttempt::of(&pod.name, format::failed_pod(pod)))
}

/// The attempt of the holder before, which fell silent.
fn lost(context: &ReportContext<'_>, old: &SingletonJobStatus) -> FailedAttempt {
    let before = context.seen().and_then(|seen| seen.observation.before.as_ref());
    let silent = before
        .map(|before| before.holder.pod().to_owned())
        .or_else(|| old.takeovers.first().map(|takeover| takeover.to.clone()));
    let Some(pod) = silent else {
        let how = "the holder stopped renewing the Lease, and its attempt counts as failed".to_owned();
        return FailedAttempt { pod: None, how };
    };
    let node = node_of(context, &pod, old);
    let place = node.map_or(String::new(), |node| format!(" on node {node}"));
    let (why, advice) = match (killed_for_memory(context), node) {
        (Some(why), _) => (format!(" ({why})"), String::new()),
        (None, Some(node)) => {
            (String::new(), format!("; kubectl describe node {node} says whether that node is ready"))
        }
        (None, None) => (String::new(), String::new()),
    };
    let how =
        format!("{pod}{place} stopped renewing the Lease{why}, and its attempt counts as failed{advice}");
    FailedAttempt::of(pod, how)
}

/// The node of a pod; if the pod is gone, as the `old` status has it.
fn node_of<'a>(context: &'a ReportContext<'_>, pod: &str, old: &'a SingletonJobStatus) -> Option<&'a str> {
    let candidate = context.observed.candidates.iter().find(|candidate| candidate.name == pod);
    let remembered =
        || old.lease.as_ref().filter(|lease| lease.holder.as_deref() == Some(pod))?.node.as_deref();
    candidate.and_then(|candidate| candidate.node.as_deref()).or_else(remembered)
}

/// That memory was the reason why the holder before fell silent, by what the kubelet says of its container.
fn killed_for_memory<'a>(context: &'a ReportContext<'_>) -> Option<&'a str> {
    let before = context.seen()?.observation.before.as_ref()?;
    let termination = by_uid(context, &before.holder)?.termination(before.renewed?)?;
    termination.reason.as_deref().filter(|reason| *reason == reasons::OOM_KILLED)
}

fn annotations<'a>(context: &'a ReportContext<'_>) -> Option<&'a Annotations> {
    context.record().map(|record| &record.annotations)
}

fn how(context: &ReportContext<'_>, released: &Released) -> String {
    let Some(exit) = released.exit else { return without_exit(context, released) };
    let unhealthy = released.unhealthy.then(|| reasons::UNHEALTHY.to_owned());
    let meaning = unhealthy.or_else(|| by_kubelet(context, released, exit)).or_else(|| meaning(exit));
    format!("{}; its log says why", exited(exit, meaning.as_deref()))
}

fn without_exit(context: &ReportContext<'_>, released: &Released) -> String {
    let before = context.seen().and_then(|seen| seen.observation.before.as_ref());
    let is_its = before.is_some_and(|before| before.holder == released.by);
    match killed_for_memory(context) {
        Some(why) if is_its && released.reason == Reason::ElectorDied => {
            format!("everything in its container was killed ({why})")
        }
        Some(_) | None => format::release(released.reason),
    }
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
