//! Events: what was done, and what has come about between two statuses.

use super::history::finished_runs;
use super::{ReportContext, blocked, format, outcome, rollout};
use crate::api::SingletonJobStatus;
use crate::api::conditions::{find_condition, is_true, reasons, types};
use crate::api::status::{FinishedRun, RunOutcome, Takeover, TakeoverReason};
use crate::api::takeover::CLEARED_HOLDER;
use crate::contract::labels::{HANDOVER_REQUESTED_AT, RUN_REQUESTED_AT};
use crate::controller::apply::Applied;
use crate::controller::plan::handover::request::{HandoverAnswer, HandoverRequest};
use crate::controller::plan::request::annotation;
use crate::controller::plan::run_plan::{RunAnswer, RunRequest};
use crate::lease::identity::Identity;

/// Something that happened, for `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// One `CamelCase` word.
    pub reason: &'static str,
    /// Whether a user should look.
    pub warning: bool,
    /// One sentence.
    pub note: String,
    /// The pod that it is about.
    pub pod: Option<String>,
}

const LABELS_RESTORED: &str = "the Lease had lost labels by which the controller and the admission policy know it: they are on it again; see who may \
                              change Leases here";
const LEASE_RECREATED: &str = "the Lease was missing: the controller made it again in the name of its last holder, and takeover waits until \
                               that one cannot run any more";

fn normal(reason: &'static str, note: impl Into<String>) -> Event {
    Event { reason, warning: false, note: note.into(), pod: None }
}

fn warning(reason: &'static str, note: impl Into<String>) -> Event {
    Event { reason, warning: true, note: note.into(), pod: None }
}

/// That a job that has finished stays, in the API server's words.
pub fn deletion_refused(message: &str) -> Event {
    let note = format!(
        "the API server refuses to delete this SingletonJob, which spec.ttlSecondsAfterFinished asks for: {message}; the controller tries again: \
         correct what refuses it, or take ttlSecondsAfterFinished out"
    );
    warning("ObjectRefused", note)
}

/// What was done just now.
pub fn done(applied: &Applied) -> Vec<Event> {
    let mut events = Vec::new();
    if applied.lease_created == Some(true) {
        events.push(warning("LeaseRecreated", LEASE_RECREATED));
    }
    if applied.labels_restored {
        events.push(warning("LeaseLabelsRestored", LABELS_RESTORED));
    }
    events.extend(applied.handover.as_ref().map(|handover| {
        let note =
            format!("{} is asked to hand over: {}", handover.holder.pod(), format::release(handover.reason));
        Event { pod: Some(handover.holder.pod().to_owned()), ..normal("HandoverRequested", note) }
    }));
    events.extend(applied.failed_pods.iter().map(|pod| {
        let note = format!(
            "{}: its attempt counts as a failure, and the next start may have to wait for it",
            format::failed_pod(pod)
        );
        Event { pod: Some(pod.name.clone()), ..warning("PodFailed", note) }
    }));
    events.extend(applied.retired.iter().map(|pod| {
        let note = format!("the workload of {pod} has ended: the other containers of the pod are told to end too; it stays for its logs");
        Event { pod: Some(pod.clone()), ..normal("PodRetired", note) }
    }));
    events.extend(applied.foreign.iter().map(|pod| {
        warning(
            "ForeignObject",
            format!(
                "the Pod {pod} is not of this SingletonJob: it is left alone, and the next number is used"
            ),
        )
    }));
    events.extend(applied.earlier.iter().map(|pod| {
        let note = format!("the Pod {pod} is of an earlier SingletonJob of this name and goes with it: the next number is used");
        Event { pod: Some(pod.clone()), ..normal("EarlierPod", note) }
    }));
    events
}

/// What has come about.
pub fn between(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Vec<Event> {
    let mut events = Vec::new();
    events.extend(lost(old, new));
    events.extend(foreign_holder(old, new));
    events.extend(takeover_blocked(old, new));
    events.extend(once_for_each_message(old, new, types::OBJECT_REFUSED));
    events.extend(once_for_each_message(old, new, types::TEMPLATE_HAZARDOUS));
    if new.takeovers.first() != old.takeovers.first() {
        events.extend(new.takeovers.first().and_then(|takeover| cut_short(context, takeover)));
        events.extend(new.takeovers.first().map(changed_hands).into_iter().flatten());
    }
    events.extend(context.request.and_then(refused));
    events.extend(context.run.request.as_ref().and_then(run_refused));
    events.extend(recorded(context));
    events.extend(cleared_nobody(context, old, new));
    events.extend(missed(context, old, new));
    events.extend(attempts(context, old, new));
    events.extend(standbys(context, old, new));
    events.extend(conditions(old, new));
    events.extend(held_up(context, old, new));
    events
}

fn lost(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let held = find_condition(&new.conditions, types::HELD).filter(|held| held.status == "False")?;
    if !is_true(&old.conditions, types::HELD) {
        return None;
    }
    let event = match held.reason.as_str() {
        reasons::EXPIRED => warning("LeaseExpired", held.message.clone()),
        reasons::FOREIGN_HOLDER => return None,
        reasons::OUTCOME_RECORDED => warning("OutcomeRecorded", held.message.clone()),
        reasons::TOKEN_TOO_LOW => warning("TokenTooLow", held.message.clone()),
        reasons::QUARANTINED => warning("LeaseLost", held.message.clone()),
        _ => normal("LeaseReleased", held.message.clone()),
    };
    Some(Event { pod: old.lease.as_ref().and_then(|lease| lease.holder.clone()), ..event })
}

/// Once for every name in the Lease that is no candidate's.
fn foreign_holder(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let told = find_condition(&old.conditions, types::HELD)
        .filter(|held| held.reason == reasons::FOREIGN_HOLDER)
        .map(|held| &held.message);
    let held =
        find_condition(&new.conditions, types::HELD).filter(|held| held.reason == reasons::FOREIGN_HOLDER)?;
    if Some(&held.message) == told {
        return None;
    }
    Some(warning("ForeignHolder", held.message.clone()))
}

/// Once for every silent holder, whatever the reasons are one after the other.
fn takeover_blocked(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let now = find_condition(&new.conditions, types::TAKEOVER_BLOCKED)?;
    let pod = new
        .lease
        .as_ref()
        .and_then(|lease| lease.last_holder_identity.as_deref())
        .map(|holder| Identity::read(holder).pod().to_owned());
    let is_new = find_condition(&old.conditions, types::TAKEOVER_BLOCKED).is_none();
    is_new.then(|| Event { pod, ..warning("TakeoverBlocked", now.message.clone()) })
}

/// Of a condition that is there only where something is wrong.
fn once_for_each_message(
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
    type_: &'static str,
) -> Option<Event> {
    let now = find_condition(&new.conditions, type_)?;
    let told = find_condition(&old.conditions, type_).is_some_and(|told| told.message == now.message);
    (!told).then(|| warning(type_, now.message.clone()))
}

/// The holder before was told to stop, and was cut off before it could give the Lease back.
fn cut_short(context: &ReportContext<'_>, takeover: &Takeover) -> Option<Event> {
    if takeover.reason != TakeoverReason::Expired {
        return None;
    }
    let before = context.seen()?.observation.before.as_ref()?;
    let (pod, why) = (before.holder.pod().to_owned(), format::release(before.stopping?));
    let note = format!(
        "{pod} was told to stop, {why}, and lost the API server before its workload had ended: the attempt does not count as failed, and its \
         successor waited for the lease; keep the network of the pod up until the workload has ended: let a proxy beside it stop last, or keep \
         the API server's address out of the proxy"
    );
    Some(Event { pod: Some(pod), ..warning("StopCutShort", note) })
}

fn changed_hands(takeover: &Takeover) -> Vec<Event> {
    let token = takeover.fencing_token.as_ref().map_or(String::new(), |token| format!(", token {token}"));
    let pod = Some(takeover.to.clone());
    let mut events = vec![Event {
        pod: pod.clone(),
        ..normal("LeaseAcquired", format!("{} holds the Lease{token}", takeover.to))
    }];
    if let Some(from) = &takeover.from
        && takeover.reason != TakeoverReason::InitialAcquire
    {
        let gap = takeover
            .gap_milliseconds
            .map_or(String::new(), |gap| format!(", {} after its last sign of life", format::duration(gap)));
        let note =
            format!("{} took over from {from}: {}{gap}", takeover.to, format::takeover(takeover.reason));
        events.push(Event { pod, ..normal("TakeoverCompleted", note) });
    }
    events
}

fn refused(request: &HandoverRequest) -> Option<Event> {
    let HandoverAnswer::Refused(why) = &request.answer else { return None };
    Some(warning("HandoverRefused", format!("the request {:?} to hand over is refused: {why}", request.text)))
}

/// Requests that were there when the controller first looked, as in an object that is restored or applied
/// again.
fn recorded(context: &ReportContext<'_>) -> Vec<Event> {
    let handover = context
        .request
        .filter(|request| request.answer == HandoverAnswer::Recorded)
        .map(|request| (HANDOVER_REQUESTED_AT, &request.text));
    let run = context.run.request.as_ref().filter(|request| request.answer == RunAnswer::Recorded);
    let run = run.map(|request| (RUN_REQUESTED_AT, &request.text));
    let note = |(annotation, text): (&str, &String)| {
        format!(
            "{annotation} was {text:?} when the controller first saw this SingletonJob: that asks for nothing; write another value to ask"
        )
    };
    handover.into_iter().chain(run).map(|request| normal("RequestRecorded", note(request))).collect()
}

/// A word that a holder is gone, and that has no effect: told when status or a condition begins to say so.
fn cleared_nobody(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Option<Event> {
    let word = annotation(context.job, CLEARED_HOLDER)?;
    let handled = new.last_handled_cleared_holder.as_deref() == Some(word);
    let is_new = handled && new.last_handled_cleared_holder != old.last_handled_cleared_holder;
    let why = if is_new { blocked::no_effect(context, word) } else { blocked::misnamed(context, word, old) };
    Some(normal("RequestRecorded", format!("{CLEARED_HOLDER} names {word:?}, but {}", why?)))
}

fn attempts(context: &ReportContext<'_>, old: &SingletonJobStatus, new: &SingletonJobStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let after = new.run.clone().unwrap_or_default();
    let before = old.run.clone().filter(|run| run.number == after.number).unwrap_or_default();
    let holder = new.lease.as_ref().and_then(|lease| lease.holder.clone());
    if after.failures > before.failures {
        let (pod, how) = outcome::failed(context, old);
        let attempts = format::count(after.attempts, "attempt has", "attempts have");
        let limit = context.job.spec.backoff_limit();
        let of = limit.map_or(String::new(), |limit| {
            format!("; {} of {attempts} failed, and spec.backoffLimit forgives {limit}", after.failures)
        });
        events.push(Event { pod, ..warning("WorkloadFailed", how + &of) });
    }
    if after.ignored_failures > before.ignored_failures {
        let (pod, why) = outcome::ignored(context);
        let note = format!("an attempt failed, and does not count towards spec.backoffLimit: {why}");
        events.push(Event { pod, ..normal("WorkloadFailureIgnored", note) });
    }
    if after.attempts > before.attempts {
        let place = holder.as_ref().map_or(String::new(), |pod| format!(" in {pod}"));
        events.push(Event {
            pod: holder,
            ..normal("WorkloadStarted", format!("attempt {} begins{place}", after.attempts))
        });
    }
    events
        .extend(new.runs.iter().filter(|run| finished_runs::is_new(run, old)).map(|run| ended(context, run)));
    events
}

fn ended(context: &ReportContext<'_>, run: &FinishedRun) -> Event {
    let which = context.job.spec.schedule.as_ref().map_or(String::new(), |_| format!("run {}: ", run.number));
    let note = which + run.message.as_deref().unwrap_or_default();
    let event = match run.outcome {
        RunOutcome::Succeeded => normal("RunSucceeded", note),
        RunOutcome::Replaced => normal("RunReplaced", note),
        RunOutcome::Failed | RunOutcome::Stopped => warning("RunFailed", note),
    };
    Event { pod: run.pod.clone(), ..event }
}

/// Ticks that are missed; why is known only where it is decided.
fn missed(context: &ReportContext<'_>, old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    let more = new.missed_runs.unwrap_or(0).saturating_sub(old.missed_runs.unwrap_or(0));
    let told = context.run.schedule.as_ref().and_then(|schedule| schedule.missed);
    let ticks = format::count(more, "tick is missed", "ticks are missed");
    (more > 0).then(|| {
        warning(
            "RunMissed",
            told.map_or_else(|| format!("{ticks}: see status.missedRuns"), |told| format::missed(&told)),
        )
    })
}

fn run_refused(request: &RunRequest) -> Option<Event> {
    let RunAnswer::Refused(why) = &request.answer else { return None };
    Some(warning("RunRequestRefused", format!("the request {:?} to run is refused: {why}", request.text)))
}

fn conditions(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let is_new = |type_: &str, holds: &str| {
        let now = find_condition(&new.conditions, type_).filter(|now| now.status == holds)?;
        let was = find_condition(&old.conditions, type_);
        was.is_none_or(|was| was.status != now.status || was.reason != now.reason).then_some(now)
    };
    if let Some(stalled) = is_new(types::STALLED, "True") {
        let reason = match stalled.reason.as_str() {
            // Told otherwise.
            reasons::FAILED
            | reasons::PROGRESS_DEADLINE_EXCEEDED
            | reasons::LEASE_REFUSED
            | reasons::ROLE_REFUSED
            | reasons::ROLE_BINDING_REFUSED => None,
            reasons::FOREIGN_OBJECT => Some("ForeignObject"),
            reasons::INVALID_TEMPLATE => Some("InvalidTemplate"),
            _ => Some("InvalidSpec"),
        };
        events.extend(reason.map(|reason| warning(reason, stalled.message.clone())));
    }
    if let Some(agent) = is_new(types::AGENT_HEALTHY, "False") {
        let reason = match agent.reason.as_str() {
            reasons::SELF_TEST_FAILED => "SelfTestFailed",
            reasons::HOLDER_WARNS => "FencingMarginLow",
            _ => "LeaseRenewalFailing",
        };
        events.push(warning(reason, agent.message.clone()));
    }
    events
}

/// That a rollout does not get on: once, until it does.
fn held_up(context: &ReportContext<'_>, old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<Event> {
    if rollout::is_held_up(old) || !rollout::is_held_up(new) {
        return None;
    }
    Some(warning(reasons::PROGRESS_DEADLINE_EXCEEDED, rollout::agent_error(context)?))
}

/// That no standby is left, or why a candidate does not start: once for every reason.
fn standbys(
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
