//! The rows of the state table that a schedule has of its own.
//!
//! Such a job does what it is for if it is ready for its next tick, however the last run ended.

use super::super::ReportContext;
use super::super::format::{self, to_seconds};
use super::ended::sentence;
use super::held::holder;
use super::summary::{self, Summary, progressing, ready};
use crate::api::conditions::{Statement, find_condition, reasons, types};
use crate::api::status::RunOutcome;
use crate::controller::plan::clearance;
use crate::controller::plan::patience::patience;
use crate::controller::plan::run_plan::SchedulePlan;
use crate::controller::plan::time::left;

/// Sums up a job with a schedule.
pub fn summary(context: &ReportContext<'_>, schedule: &SchedulePlan, held: &Statement) -> Summary {
    if context.job.spec.replicas == 0 {
        return summary::stopped(context);
    }
    if !context.run.goes_on {
        return at_rest(context, schedule);
    }
    let run = run(context);
    let yes = |reason: &str, message: String| ready(Statement::yes(types::READY, reason, message));
    match context.trouble() {
        _ if held.holds == Some(true) => yes(reasons::RUNNING, running(context, &run)),
        _ if held.reason == reasons::BACKOFF => {
            yes(reasons::BACKOFF, format!("{run} backs off: {}", held.message))
        }
        _ if clearance::awaits_confirmation(context.job, context.observed)
            || is_overdue(context, schedule) =>
        {
            progressing(held.reason.clone(), waiting(&run, held))
        }
        Some(trouble) => progressing(&trouble.reason, format!("{run} cannot start: {}", trouble.message)),
        None => yes(reasons::PENDING, waiting(&run, held)),
    }
}

fn waiting(run: &str, held: &Statement) -> String {
    format!("{run} waits for a candidate to take the Lease: {}", held.message)
}

/// Says who runs the current run. While it replaces another, the holder is the other's until that has
/// stopped.
fn running(context: &ReportContext<'_>, run: &str) -> String {
    let begun =
        context.record().and_then(|record| record.annotations.progress.as_ref()).map(|progress| progress.run);
    match begun.filter(|begun| *begun < context.run.number) {
        Some(before) => {
            format!("{run} waits until the holder has stopped run {before}; {}", holder(context))
        }
        None => format!("{run} {}", holder(context)),
    }
}

fn at_rest(context: &ReportContext<'_>, schedule: &SchedulePlan) -> Summary {
    let Some(next) = schedule.next else {
        let message = "spec.suspend is true: the controller starts no run at a tick until it is false";
        return ready(Statement::yes(types::READY, reasons::SUSPENDED, message));
    };
    let next = format!("the next run is due at {}", to_seconds(next).0);
    match context.trouble() {
        Some(trouble) if context.standbys().next().is_none() => {
            progressing(&trouble.reason, format!("{next}; {}", trouble.message))
        }
        _ => ready(Statement::yes(types::READY, reasons::SCHEDULED, next)),
    }
}

/// Whether no candidate has held the Lease since the run was due, for longer than the patience. False of a
/// run on request, because the controller does not know when it was due.
fn is_overdue(context: &ReportContext<'_>, schedule: &SchedulePlan) -> bool {
    let held = context.job.status.as_ref().and_then(|status| find_condition(&status.conditions, types::HELD));
    let unheld = held.filter(|held| held.status == "False").map(|held| held.last_transition_time.0);
    let since = unheld.zip(schedule.due).map(|(unheld, due)| unheld.max(due));
    since.is_some_and(|since| left(since, patience(context.job), context.now).is_zero())
}

fn run(context: &ReportContext<'_>) -> String {
    let tick = context
        .run
        .scheduled_time
        .map_or_else(|| "on request".to_owned(), |tick| format!("of {}", to_seconds(tick).0));
    format!("run {} {tick}", context.run.number)
}

/// The condition `LastRunSucceeded`.
pub fn last_run(context: &ReportContext<'_>) -> Vec<(&'static str, Option<Statement>)> {
    let statement = context.runs.first().map(|run| {
        let reason = run.reason.clone().unwrap_or_else(|| format!("{:?}", run.outcome));
        let message = format!("run {} {}", run.number, sentence(context, run));
        match run.outcome {
            RunOutcome::Succeeded => Statement::yes(types::LAST_RUN_SUCCEEDED, reason, message),
            RunOutcome::Failed | RunOutcome::Replaced | RunOutcome::Stopped => {
                Statement::no(types::LAST_RUN_SUCCEEDED, reason, message)
            }
        }
    });
    vec![(types::LAST_RUN_SUCCEEDED, Some(statement.unwrap_or_else(|| no_run(context))))]
}

fn no_run(context: &ReportContext<'_>) -> Statement {
    let missed = context.run.schedule.as_ref().map_or(0, |schedule| schedule.ticks.missed);
    if missed == 0 {
        return Statement::unknown(types::LAST_RUN_SUCCEEDED, reasons::NO_RUN, "no run has ended yet");
    }
    let message = format!(
        "no run has ended yet, and {}",
        format::count(missed, "tick was missed", "ticks were missed")
    );
    Statement::no(types::LAST_RUN_SUCCEEDED, reasons::TICK_MISSED, message)
}
