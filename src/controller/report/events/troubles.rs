//! What a condition begins to complain of.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::super::{ReportContext, rollout};
use super::{Event, warning};
use crate::api::SingletonJobStatus;
use crate::api::conditions::{find_condition, reasons, types};

/// Says once for each message that the API server refuses something.
pub(super) fn object_refused(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let now = with_new_message(old, new, types::OBJECT_REFUSED)?;
    Some(warning("ObjectRefused", now.message.clone()))
}

/// Says once for each message that something in the template is in the way of a takeover.
pub(super) fn template_hazardous(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let now = with_new_message(old, new, types::TEMPLATE_HAZARDOUS)?;
    Some(warning("TemplateHazardous", now.message.clone()))
}

/// The condition of this type, if it says something else than before.
fn with_new_message<'a>(
    old: &SingletonJobStatus,
    new: &'a SingletonJobStatus,
    type_: &str,
) -> Option<&'a Condition> {
    let now = find_condition(&new.conditions, type_)?;
    let told = find_condition(&old.conditions, type_).is_some_and(|told| told.message == now.message);
    (!told).then_some(now)
}

/// Says that a user has to change something.
pub(super) fn stalled(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let stalled = with_new_reason(old, new, types::STALLED, "True")?;
    let note = stalled.message.clone();
    match stalled.reason.as_str() {
        // Other events tell these.
        reasons::FAILED
        | reasons::PROGRESS_DEADLINE_EXCEEDED
        | reasons::LEASE_REFUSED
        | reasons::ROLE_REFUSED
        | reasons::ROLE_BINDING_REFUSED => None,
        reasons::FOREIGN_OBJECT => Some(warning("ForeignObject", note)),
        reasons::INVALID_TEMPLATE => Some(warning("InvalidTemplate", note)),
        _ => Some(warning("InvalidSpec", note)),
    }
}

/// Says that an agent reports an error.
pub(super) fn agent_unhealthy(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let agent = with_new_reason(old, new, types::AGENT_HEALTHY, "False")?;
    let note = agent.message.clone();
    Some(match agent.reason.as_str() {
        reasons::SELF_TEST_FAILED => warning("SelfTestFailed", note),
        reasons::HOLDER_WARNS => warning("FencingMarginLow", note),
        _ => warning("LeaseRenewalFailing", note),
    })
}

/// The condition of this type, if its status has become `holds`, or if its reason has changed since.
fn with_new_reason<'a>(
    old: &SingletonJobStatus,
    new: &'a SingletonJobStatus,
    type_: &str,
    holds: &str,
) -> Option<&'a Condition> {
    let now = find_condition(&new.conditions, type_).filter(|now| now.status == holds)?;
    let was = find_condition(&old.conditions, type_);
    was.is_none_or(|was| was.status != now.status || was.reason != now.reason).then_some(now)
}

/// Says that a rollout is not progressing: once, until it is.
pub(super) fn rollout_held_up(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Option<Event> {
    if rollout::is_held_up(old) || !rollout::is_held_up(new) {
        return None;
    }
    Some(warning("ProgressDeadlineExceeded", rollout::deadline_exceeded(context)?))
}

/// Says that no standby is left, or once for every reason why a candidate does not start.
pub(super) fn standbys(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Option<Event> {
    let told = find_condition(&old.conditions, types::STANDBY_AVAILABLE);
    let tell = find_condition(&new.conditions, types::STANDBY_AVAILABLE)?;
    // The only candidate stands by until its run begins, and none does then; after a run, candidates are made
    // anew.
    let as_planned =
        context.job.spec.schedule.is_some() && (context.job.spec.replicas == 1 || context.holder().is_none());
    if tell.status == "False" && !as_planned && told.is_some_and(|told| told.status == "True") {
        return Some(warning("StandbyUnavailable", tell.message.clone()));
    }
    // An invalid template is told by itself.
    let trouble = context.trouble().filter(|trouble| trouble.reason != reasons::INVALID_TEMPLATE)?;
    let is_new = told.is_none_or(|told| !told.message.contains(&trouble.message));
    is_new.then(|| warning("StandbyUnavailable", trouble.message.clone()))
}
