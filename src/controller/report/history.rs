//! Runs and changes of hands, newest first.

use std::time::Duration;

use kube::ResourceExt;

use super::format::to_seconds;
use super::{ReportContext, outcome, start_failures};
use crate::api::SingletonJobStatus;
use crate::api::conditions::{find_condition, reasons, types};
use crate::api::status::{FinishedRun, MOST_HISTORY, RunOutcome, Takeover, TakeoverReason};
use crate::controller::plan::runs;
use crate::controller::plan::runs::Closed;
use crate::lease::annotations::{Finished, Outcome, Policy, Reason, Released};
use crate::lease::identity::Identity;
use crate::lease::record::Record;

/// How the job's runs ended. What is written here stays, whatever happens to the Lease.
pub fn runs(context: &ReportContext<'_>) -> Vec<FinishedRun> {
    let mut all = context.old().runs.clone();
    if let Some(finished) = runs::last_finished(context.job, context.observed) {
        let newest = all.first().map_or(0, |run| run.number);
        match all.iter_mut().find(|run| run.number == i64::from(finished.run)) {
            Some(known) => learn(known, context, finished),
            None if i64::from(finished.run) > newest => all.insert(0, run(context, finished)),
            None => {}
        }
    }
    let replaced = replaced(context, &all);
    all.splice(0..0, replaced);
    let closed = closed(context).filter(|run| all.first().is_none_or(|newest| newest.number < run.number));
    all.splice(0..0, closed);
    all.truncate(MOST_HISTORY);
    all
}

/// Whether status did not know before that `run` is over.
pub fn is_new(run: &FinishedRun, old: &SingletonJobStatus) -> bool {
    old.runs.iter().all(|known| known.number != run.number)
}

/// A run that had begun and gave way to another. What never began was missed.
fn replaced(context: &ReportContext<'_>, over: &[FinishedRun]) -> Option<FinishedRun> {
    let old = context.old();
    let before = old.run.as_ref().filter(|run| run.number < i64::from(context.run.number))?;
    let progress = u32::try_from(before.number)
        .ok()
        .and_then(|number| runs::progress_of(context.job, context.observed, number));
    let attempts =
        progress.map_or(before.attempts, |progress| i32::try_from(progress.starts).unwrap_or(i32::MAX));
    if attempts == 0 || over.iter().any(|run| run.number >= before.number) {
        return None;
    }
    let holder = old.lease.as_ref().and_then(|lease| lease.last_holder_identity.as_deref());
    Some(FinishedRun {
        number: before.number,
        outcome: RunOutcome::Replaced,
        scheduled_time: before.scheduled_time.clone(),
        reason: Some(reasons::REPLACED.to_owned()),
        message: Some(format!("stopped for run {}, which was due", context.run.number)),
        exit_code: None,
        pod: holder.map(|holder| Identity::read(holder).pod().to_owned()),
        node: old.lease.as_ref().and_then(|lease| lease.node.clone()),
        attempts,
        start_time: before.start_time.clone(),
        completion_time: Some(to_seconds(context.now)),
        fencing_token: old.lease.as_ref().and_then(|lease| lease.fencing_token.clone()),
    })
}

/// A run that no candidate could start, or end, within its deadline: the Lease says so in the controller's
/// own words.
fn closed(context: &ReportContext<'_>) -> Option<FinishedRun> {
    let (job, observed) = (context.job, context.observed);
    context.run.closed.filter(|closed| *closed == Closed::DeadlineExceeded)?;
    let number = context.run.number;
    let known = context.old().run.as_ref().filter(|run| run.number == i64::from(number));
    let progress = runs::progress_of(job, observed, number);
    let attempts = progress.as_ref().map_or(0, |progress| progress.starts);
    let started = progress.and_then(|progress| progress.start_time).map(to_seconds);
    Some(FinishedRun {
        number: i64::from(number),
        outcome: RunOutcome::Failed,
        scheduled_time: runs::scheduled_time(job, observed).map(to_seconds),
        reason: Some(Closed::DeadlineExceeded.reason().to_owned()),
        message: Some(start_failures::unstarted(context)),
        exit_code: None,
        pod: None,
        node: None,
        attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
        start_time: known.and_then(|run| run.start_time.clone()).or(started),
        completion_time: Some(to_seconds(context.now)),
        fencing_token: None,
    })
}

/// The Lease tells of an end sooner than the pod tells why.
fn learn(known: &mut FinishedRun, context: &ReportContext<'_>, finished: &Finished) {
    if let Some(cause) = outcome::cause(context, finished) {
        known.reason = Some(outcome::word(finished, Some(&cause)));
        known.message = Some(outcome::sentence(
            finished,
            Some(&cause),
            policy(context),
            outcome::failed_pod(context, finished),
        ));
    }
}

fn policy<'a>(context: &'a ReportContext<'_>) -> Option<&'a Policy> {
    context.record().and_then(|record| record.annotations.policy.as_ref())
}

fn run(context: &ReportContext<'_>, finished: &Finished) -> FinishedRun {
    let old = context.old();
    let pod = outcome::by_uid(context, &finished.by);
    let cause = outcome::cause(context, finished);
    let progress = runs::progress_of(context.job, context.observed, finished.run);
    let known = old.run.as_ref().filter(|run| run.number == i64::from(finished.run));
    let is_current = is_current(context, finished);
    let scheduled_time =
        if is_current { runs::scheduled_time(context.job, context.observed).map(to_seconds) } else { None };
    FinishedRun {
        number: i64::from(finished.run),
        scheduled_time: scheduled_time.or_else(|| known.and_then(|run| run.scheduled_time.clone())),
        outcome: match finished.outcome {
            Outcome::Succeeded => RunOutcome::Succeeded,
            Outcome::Failed => RunOutcome::Failed,
        },
        reason: Some(outcome::word(finished, cause.as_deref())),
        message: Some(outcome::sentence(
            finished,
            cause.as_deref(),
            policy(context),
            outcome::failed_pod(context, finished),
        )),
        exit_code: finished.exit.map(crate::lease::annotations::Exit::code),
        pod: Some(finished.by.pod().to_owned()),
        node: pod.and_then(|pod| pod.node.clone()),
        attempts: i32::try_from(progress.map_or(finished.attempt, |progress| progress.starts))
            .unwrap_or(i32::MAX),
        start_time: known
            .and_then(|run| run.start_time.clone())
            .or(old.start_time.clone())
            .or(finished.start_time.map(to_seconds)),
        completion_time: Some(to_seconds(finished.completion_time)),
        fencing_token: finished.token.map(|token| token.to_string()),
    }
}

fn is_current(context: &ReportContext<'_>, finished: &Finished) -> bool {
    runs::current(context.job, context.observed) == finished.run
}

/// How the Lease changed hands.
pub fn takeovers(context: &ReportContext<'_>) -> Vec<Takeover> {
    let old = context.old();
    let mut all = old.takeovers.clone();
    let last = old.lease.as_ref().and_then(|lease| lease.last_holder_identity.as_deref());
    if let Some(record) = context.record()
        && let (Some(holder), Some(_)) = (&record.holder, record.acquire_time)
        && last != Some(holder.as_str())
        && holder.is_of(&context.job.name_any())
    {
        all.insert(0, takeover(context, record, holder.pod(), last, old));
    }
    all.truncate(MOST_HISTORY);
    all
}

fn takeover(
    context: &ReportContext<'_>,
    record: &Record,
    to: &str,
    last: Option<&str>,
    old: &SingletonJobStatus,
) -> Takeover {
    let released = record.annotations.released.as_ref();
    let look = context.seen().map(|seen| &seen.observation);
    let before = look.and_then(|look| look.before.as_ref());
    let last_sign = match released {
        Some(released) => released.renew_time,
        None => before.and_then(|before| before.renewed),
    };
    let first = context.run.schedule.is_some()
        && record.annotations.progress.as_ref().is_some_and(|progress| progress.starts == 1);
    let by_time_of_day = record
        .acquire_time
        .zip(last_sign)
        .and_then(|(acquired, left)| acquired.duration_since(left).try_into().ok());
    // Times of day of two nodes that contradict each other say nothing.
    let gap: Option<Duration> = by_time_of_day.or_else(|| look.and_then(|look| look.gap));
    let named = |identity: &str| Identity::read(identity).pod().to_owned();
    let from = match released {
        _ if first => None,
        Some(released) if released.reason == Reason::Created => None,
        Some(released) => Some(released.by.pod().to_owned()),
        None => before.map(|before| before.holder.pod().to_owned()).or_else(|| last.map(named)),
    };
    Takeover {
        acquire_time: record.acquire_time.map(to_seconds),
        from,
        to: to.to_owned(),
        // The first attempt of a run takes over from no holder, whichever ran the one before.
        reason: if first { TakeoverReason::InitialAcquire } else { reason(released, last.is_some(), old) },
        gap_milliseconds: if first { None } else { gap.and_then(|gap| i64::try_from(gap.as_millis()).ok()) },
        fencing_token: look.and_then(|look| look.token).map(|token| token.to_string()),
    }
}

fn reason(released: Option<&Released>, was_held: bool, old: &SingletonJobStatus) -> TakeoverReason {
    let cleared = || {
        find_condition(&old.conditions, types::HELD).is_some_and(|held| held.reason == reasons::QUARANTINED)
    };
    match released.map(|released| released.reason) {
        Some(Reason::WorkloadSucceeded) if released.is_some_and(Released::hands_over) => {
            TakeoverReason::Handover
        }
        Some(Reason::Created | Reason::Stopped) => TakeoverReason::InitialAcquire,
        Some(Reason::Handover) => TakeoverReason::Handover,
        Some(Reason::Unready) => TakeoverReason::Unready,
        Some(Reason::Failback) => TakeoverReason::Failback,
        Some(Reason::RolledOut) => TakeoverReason::RolledOut,
        Some(Reason::Drain) => TakeoverReason::Drain,
        Some(Reason::WorkloadSucceeded | Reason::WorkloadFailed | Reason::ElectorDied) => {
            TakeoverReason::WorkloadFailed
        }
        Some(Reason::LeaseLost) => TakeoverReason::LeaseLost,
        None if !was_held => TakeoverReason::InitialAcquire,
        None if cleared() => TakeoverReason::Cleared,
        None => TakeoverReason::Expired,
    }
}
