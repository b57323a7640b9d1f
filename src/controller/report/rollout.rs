//! Explains why a rollout makes no progress. Pods of the old template hold the Lease meanwhile, or stand by.

use super::{ReportContext, format};
use crate::api::SingletonJobStatus;
use crate::api::conditions::{find_condition, reasons, types};
use crate::controller::observe::candidate::{Candidate, End};
use crate::controller::plan::progress::{self, Awaited};
use crate::controller::plan::trial;

/// Which candidate a rollout has awaited for too long, and why it does not start. `None` while there is time.
pub fn deadline_exceeded(context: &ReportContext<'_>) -> Option<String> {
    if context.refusal.is_some() {
        return None;
    }
    if let Some(taken_back) = taken_back(context) {
        return Some(taken_back);
    }
    let awaited = progress::awaited(context.job, context.observed);
    let Awaited { candidate, since: _ } = awaited.filter(|awaited| awaited.left(context.now).is_zero())?;
    let why = why_not_ready(candidate).map_or(String::new(), |why| format!(": {why}"));
    let meanwhile = if context.observed.is_holder(candidate) {
        "it holds the Lease, and pods of the old template stand by"
    } else {
        "pods of the old template go on meanwhile"
    };
    Some(format!(
        "the rollout of spec.template waits: {} was not ready within {} s{why}; {meanwhile}: correct spec.template, or put the old one back",
        candidate.name,
        progress::DEADLINE.as_secs()
    ))
}

/// Says that the controller tried the new template, and that a pod of the old one holds the Lease again.
fn taken_back(context: &ReportContext<'_>) -> Option<String> {
    let observed = context.observed;
    let waits = !context.job.spec.is_stopped()
        && observed.holder_pod().is_some_and(|holder| !observed.is_current(holder));
    (waits && trial::is_rejected(context.job, observed)).then(|| {
        "the controller gave up the rollout of spec.template: a pod of the new template took over, and its workload ended or did not become ready \
         in time; a pod of the old template holds the Lease again, and the controller does not try the new one again by itself: \
         correct spec.template, or put the old one back"
            .to_owned()
    })
}

/// Says that the controller does not try the new template now, although its pods are ready for it.
pub fn rest(context: &ReportContext<'_>) -> Option<String> {
    let until = trial::rests_until(context.job, context.observed, context.now)?;
    Some(format!(
        "a pod of the new template held the Lease and could not keep it; the controller hands over to pods of the new template again from {} on",
        format::moment(until)
    ))
}

/// How far the rollout of a service has come. `None` if every pod has the new template, including those that
/// are to end.
pub fn under_way(context: &ReportContext<'_>) -> Option<String> {
    let observed = context.observed;
    let there: Vec<_> = observed.candidates.iter().filter(|candidate| candidate.end().is_none()).collect();
    let new = there.iter().filter(|candidate| observed.is_current(candidate)).count();
    if new == there.len() {
        return None;
    }
    let holder = observed.holder_pod().filter(|holder| !observed.is_current(holder));
    let meanwhile = holder.map_or(String::new(), |holder| {
        format!("; {} runs the old template until a standby of the new one is ready", holder.name)
    });
    Some(format!(
        "rolling out spec.template: {new} of {} have it{meanwhile}",
        format::count(there.len(), "candidate", "candidates")
    ))
}

/// Whether `status` says that a rollout has awaited a candidate for too long.
pub fn is_held_up(status: &SingletonJobStatus) -> bool {
    let says =
        |type_| find_condition(&status.conditions, type_).filter(|condition| condition.status == "True");
    [types::STALLED, types::RECONCILING]
        .into_iter()
        .filter_map(says)
        .any(|is| is.reason == reasons::PROGRESS_DEADLINE_EXCEEDED)
}

/// Why the candidate is not ready, in the words of the component that refuses: the kubelet, the scheduler,
/// its agent.
fn why_not_ready(candidate: &Candidate) -> Option<String> {
    let refused = |end: &End| end.message.clone().or_else(|| end.reason.clone());
    let waits = candidate
        .start_failure
        .as_ref()
        .map(|start_failure| format!("{}: {}", start_failure.reason, start_failure.message));
    waits
        .or_else(|| candidate.agent_error.as_ref().map(|agent_error| agent_error.message.clone()))
        .or_else(|| candidate.end().and_then(refused))
}
