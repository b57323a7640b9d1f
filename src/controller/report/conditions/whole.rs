//! Decides what `Ready`, `Reconciling` and `Stalled` say about the whole job.

use std::time::Duration;

use super::super::{ReportContext, refused, rollout};
use super::ended::sentence;
use super::held::holder;
use super::scheduled;
use super::summary::{Summary, progressing, ready, stalled, stopped};
use crate::api::SingletonJobStatus;
use crate::api::conditions::{Statement, find_condition, is_true, reasons, types};
use crate::api::status::RunOutcome;
use crate::controller::plan::patience::patience;
use crate::controller::plan::{self, clearance, wanted_run};
use crate::lease::identity::Identity;

/// The reason while the holder's pod is not ready.
const NOT_READY: &str = "NotReady";

pub(super) fn summary(context: &ReportContext<'_>, held: &Statement) -> Summary {
    let summary = apart_from_rollouts(context, held);
    if let Some(invalid) = refused::invalid_template(context) {
        let stalled = Statement::yes(types::STALLED, invalid.step.reason(), refused::sentence(invalid));
        return Summary { reconciling: None, stalled: Some(stalled), ..summary };
    }
    let Some(exceeded) = rollout::deadline_exceeded(context) else { return rolling_out(context, summary) };
    let says = |type_| Some(Statement::yes(type_, reasons::PROGRESS_DEADLINE_EXCEEDED, exceeded));
    // What runs may yet succeed: a run is not given up for a template that it is not made from.
    let (type_, reconciling, stalled) = if context.job.spec.is_service() {
        (types::STALLED, None, says(types::STALLED))
    } else {
        (types::RECONCILING, says(types::RECONCILING), None)
    };
    let ready = summary.ready.map(|ready| {
        adding(ready, &format!("the rollout is not progressing: the condition {type_} says why"))
    });
    Summary { ready, reconciling, stalled }
}

/// Adds a rollout under way. `Ready` stays as it is, because a service does its work meanwhile.
fn rolling_out(context: &ReportContext<'_>, summary: Summary) -> Summary {
    if summary.stalled.is_some() || !context.job.spec.is_service() || context.job.spec.is_stopped() {
        return summary;
    }
    let rests =
        || rollout::rest(context).map(|rest| Statement::yes(types::RECONCILING, reasons::BACKOFF, rest));
    let goes_on = || {
        rollout::under_way(context).map(|step| Statement::yes(types::RECONCILING, reasons::ROLLING_OUT, step))
    };
    Summary { reconciling: summary.reconciling.or_else(rests).or_else(goes_on), ..summary }
}

fn adding(statement: Statement, more: &str) -> Statement {
    Statement { message: format!("{}; {more}", statement.message), ..statement }
}

fn apart_from_rollouts(context: &ReportContext<'_>, held: &Statement) -> Summary {
    if let Some(refusal) = context.refusal {
        return stalled(refusal.reason, &refusal.message);
    }
    let blocked =
        || refused::block(context).map(|refused| stalled(refused.step.reason(), refused::sentence(refused)));
    if let Some(schedule) = &context.run.schedule {
        return blocked().unwrap_or_else(|| scheduled::summary(context, schedule, held));
    }
    if let Some(run) = context.runs.first() {
        return match run.outcome {
            RunOutcome::Succeeded => {
                ready(Statement::yes(types::READY, reasons::COMPLETE, sentence(context, run)))
            }
            RunOutcome::Failed | RunOutcome::Replaced | RunOutcome::Stopped => {
                stalled(reasons::FAILED, sentence(context, run))
            }
        };
    }
    if context.job.spec.is_stopped() {
        return stopped(context);
    }
    if let Some(blocked) = blocked() {
        return blocked;
    }
    if context.job.spec.is_service() { service(context, held) } else { one_shot(context, held) }
}

fn one_shot(context: &ReportContext<'_>, held: &Statement) -> Summary {
    if held.holds == Some(true) {
        return progressing(reasons::RUNNING, holder(context));
    }
    if let Some(overdue) = overdue(context) {
        return progressing(context.trouble().map_or(reasons::PENDING, |trouble| &trouble.reason), overdue);
    }
    if held.reason == reasons::BACKOFF {
        return progressing(reasons::BACKOFF, &held.message);
    }
    match context.trouble() {
        Some(trouble) => progressing(&trouble.reason, &trouble.message),
        None => progressing(
            reasons::PENDING,
            format!("the run waits for a candidate to take the Lease: {}", held.message),
        ),
    }
}

/// Says that the time of a run has passed, and that no candidate is there to close it. A candidate closes it
/// in the write that takes the Lease; the controller closes it if the Lease is free.
fn overdue(context: &ReportContext<'_>) -> Option<String> {
    let left = wanted_run::left(context.job, context.observed, &context.run, context.now)?;
    if !left.is_zero() || context.standbys().next().is_some() {
        return None;
    }
    let limit = context.job.spec.active_deadline_seconds?;
    let why = context.trouble().map_or("no candidate is ready", |trouble| &trouble.message);
    Some(format!(
        "spec.activeDeadlineSeconds of {limit} has passed: no candidate starts the workload any more, and the run fails \
         as soon as the Lease is free or a candidate takes it; {why}"
    ))
}

fn service(context: &ReportContext<'_>, held: &Statement) -> Summary {
    let old = context.old();
    let holder_ready = context.holder_pod().is_some_and(|pod| pod.ready);
    if held.holds == Some(true) && holder_ready {
        return ready(Statement::yes(types::READY, reasons::HELD, holder(context)));
    }
    if clearance::awaits_confirmation(context.job, context.observed) {
        return progressing(held.reason.clone(), held.message.clone());
    }
    // Patience is for takeovers of what was ready, and not for what has just been applied.
    let is_as_before = old.observed_generation == context.job.metadata.generation;
    let was_ready = is_as_before && is_true(&old.conditions, types::READY) && is_true_for(old, reasons::HELD);
    let on_trial = held.holds == Some(true) && plan::trial::is_on_trial(context.observed);
    if was_ready
        && !on_trial
        && held.reason != reasons::BACKOFF
        && unheld_for(context) < patience(context.job)
    {
        return Summary { ready: None, reconciling: None, stalled: None };
    }
    if held.reason == reasons::BACKOFF {
        return progressing(reasons::BACKOFF, &held.message);
    }
    match context.trouble() {
        Some(trouble) => progressing(&trouble.reason, &trouble.message),
        None if held.holds == Some(true) => {
            progressing(NOT_READY, format!("{}; {}", holder(context), unready(context)))
        }
        None => progressing(held.reason.clone(), held.message.clone()),
    }
}

/// Says that the holder's pod is not ready, and where to look.
fn unready(context: &ReportContext<'_>) -> String {
    let Some(pod) = context.holder().map(Identity::pod) else { return "its pod is not ready".to_owned() };
    if context.observed.awaits_readiness() {
        format!("its workload has not become ready since it took over: see the log of {pod}")
    } else {
        format!("its pod is not ready: kubectl describe pod {pod} says why")
    }
}

fn is_true_for(old: &SingletonJobStatus, reason: &str) -> bool {
    find_condition(&old.conditions, types::READY).is_some_and(|ready| ready.reason == reason)
}

/// How long no candidate has held the Lease, or how long the current holder has had it.
fn unheld_for(context: &ReportContext<'_>) -> Duration {
    let held = find_condition(&context.old().conditions, types::HELD);
    let acquired = context.holder().and(context.record()).and_then(|record| record.acquire_time);
    let released = held.filter(|held| held.status == "False").map(|held| held.last_transition_time.0);
    acquired.or(released).map_or(Duration::ZERO, |since| {
        Duration::try_from(context.now.duration_since(since)).unwrap_or_default()
    })
}
