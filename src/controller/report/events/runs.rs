//! Attempts, runs, and ticks that became no run.

use super::super::history::finished_runs;
use super::super::outcome::attempt::{self, FailedAttempt};
use super::super::{ReportContext, format};
use super::{Event, normal, warning};
use crate::api::SingletonJobStatus;
use crate::api::status::{CurrentRun, FinishedRun, RunOutcome};

/// Attempts of the current run that failed, or that began in a tenure that status knew.
pub(super) fn attempts(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Vec<Event> {
    let (before, after) = run(old, new);
    let mut events = Vec::new();
    if after.failures > before.failures {
        events.push(failed(context, old, &after));
    }
    if after.ignored_failures > before.ignored_failures {
        events.push(failure_ignored(context));
    }
    // The event about a new holder says it.
    if new.takeovers.first() == old.takeovers.first() {
        events.extend(begun(old, new).map(|attempt| started(new, &attempt)));
    }
    events
}

/// The current run, as the old status knew it and as it is now.
fn run(old: &SingletonJobStatus, new: &SingletonJobStatus) -> (CurrentRun, CurrentRun) {
    let after = new.run.clone().unwrap_or_default();
    let before = old.run.clone().filter(|run| run.number == after.number).unwrap_or_default();
    (before, after)
}

/// Says which attempt of the current run begins. `None` if none does.
pub(super) fn begun(old: &SingletonJobStatus, new: &SingletonJobStatus) -> Option<String> {
    let (before, after) = run(old, new);
    (after.attempts > before.attempts).then(|| format!("attempt {} begins", after.attempts))
}

fn failed(context: &ReportContext<'_>, old: &SingletonJobStatus, run: &CurrentRun) -> Event {
    let FailedAttempt { pod, how } = attempt::failed(context, old);
    let attempts = format::count(run.attempts, "attempt has", "attempts have");
    let limit = context.job.spec.backoff_limit();
    let of = limit.map_or(String::new(), |limit| {
        format!("; {} of {attempts} failed, and spec.backoffLimit allows {limit}", run.failures)
    });
    warning("WorkloadFailed", how + &of).about(pod)
}

fn failure_ignored(context: &ReportContext<'_>) -> Event {
    let FailedAttempt { pod, how: why } = attempt::ignored(context);
    let note = format!("an attempt failed, and does not count towards spec.backoffLimit: {why}");
    normal("WorkloadFailureIgnored", note).about(pod)
}

fn started(new: &SingletonJobStatus, attempt: &str) -> Event {
    let holder = new.lease.as_ref().and_then(|lease| lease.holder.clone());
    let place = holder.as_ref().map_or(String::new(), |pod| format!(" in {pod}"));
    normal("WorkloadStarted", format!("{attempt}{place}")).about(holder)
}

/// Runs that status did not know to be over.
pub(super) fn ended(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Vec<Event> {
    let is_new = |run: &&FinishedRun| finished_runs::is_new(run, old);
    new.runs.iter().filter(is_new).map(|run| how_it_ended(context, run)).collect()
}

fn how_it_ended(context: &ReportContext<'_>, run: &FinishedRun) -> Event {
    let which = context.job.spec.schedule.as_ref().map_or(String::new(), |_| format!("run {}: ", run.number));
    let note = which + run.message.as_deref().unwrap_or_default();
    let event = match run.outcome {
        RunOutcome::Succeeded => normal("RunSucceeded", note),
        RunOutcome::Replaced => normal("RunReplaced", note),
        RunOutcome::Failed | RunOutcome::Stopped => warning("RunFailed", note),
    };
    event.about(run.pod.clone())
}

/// Says how many ticks are missed. Only the controller that has just decided it knows why.
pub(super) fn missed(
    context: &ReportContext<'_>,
    old: &SingletonJobStatus,
    new: &SingletonJobStatus,
) -> Option<Event> {
    let more = new.missed_runs.unwrap_or(0).saturating_sub(old.missed_runs.unwrap_or(0));
    let told = context.run.schedule.as_ref().and_then(|schedule| schedule.missed);
    let ticks = format::count(more, "tick was missed", "ticks were missed");
    let unexplained = || {
        format!(
            "{ticks} (counted in status.missedRuns): an earlier reconciliation decided that, and could not report why"
        )
    };
    (more > 0).then(|| warning("RunMissed", told.map_or_else(unexplained, |told| format::missed(&told))))
}
