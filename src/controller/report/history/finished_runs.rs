//! How the job's runs ended, newest first. Status keeps it, whatever happens to the Lease.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::format::to_seconds;
use super::super::{ReportContext, outcome, start_failures};
use crate::api::SingletonJobStatus;
use crate::api::conditions::reasons;
use crate::api::status::{CurrentRun, FinishedRun, MOST_HISTORY, RunOutcome};
use crate::controller::plan::runs::{self, Closed};
use crate::lease::annotations::{Exit, Finished, Outcome};
use crate::lease::identity::Identity;

/// All runs that status keeps, with those that have ended since it was written.
pub fn all(context: &ReportContext<'_>) -> Vec<FinishedRun> {
    let mut all = context.old().runs.clone();
    if let Some(finished) = runs::last_finished(context.job, context.observed) {
        let newest = all.first().map_or(0, |run| run.number);
        match all.iter_mut().find(|run| run.number == i64::from(finished.run)) {
            Some(known) => learn(known, context, finished),
            None if i64::from(finished.run) > newest => all.insert(0, recorded(context, finished)),
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

/// A run that had begun and gave way to another. A run that never began was missed.
fn replaced(context: &ReportContext<'_>, over: &[FinishedRun]) -> Option<FinishedRun> {
    let old = context.old();
    let before = old.run.as_ref().filter(|run| run.number < i64::from(context.run.number))?;
    let attempts = attempts_of(context, before);
    if attempts == 0 || over.iter().any(|run| run.number >= before.number) {
        return None;
    }
    let lease = old.lease.as_ref();
    let holder = lease.and_then(|lease| lease.last_holder_identity.as_deref());
    Some(FinishedRun {
        number: before.number,
        outcome: RunOutcome::Replaced,
        scheduled_time: before.scheduled_time.clone(),
        reason: Some(reasons::REPLACED.to_owned()),
        message: Some(format!(
            "the controller stopped it for run {}, because spec.schedule.concurrencyPolicy is Replace",
            context.run.number
        )),
        exit_code: None,
        pod: holder.map(|holder| Identity::read(holder).pod().to_owned()),
        node: lease.and_then(|lease| lease.node.clone()),
        attempts,
        start_time: before.start_time.clone(),
        completion_time: Some(to_seconds(context.now)),
        fencing_token: lease.and_then(|lease| lease.fencing_token.clone()),
    })
}

/// How often `run` was started, by the Lease if it still tells.
fn attempts_of(context: &ReportContext<'_>, run: &CurrentRun) -> i32 {
    let progress = u32::try_from(run.number)
        .ok()
        .and_then(|number| runs::progress_of(context.job, context.observed, number));
    progress.map_or(run.attempts, |progress| to_i32(progress.starts))
}

/// A run that no candidate could start, or end, within its deadline. The controller says so in the Lease.
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
        attempts: to_i32(attempts),
        start_time: known.and_then(|run| run.start_time.clone()).or(started),
        completion_time: Some(to_seconds(context.now)),
        fencing_token: None,
    })
}

/// Adds what a pod says about the end of a run. The Lease tells of an end sooner than the pod tells why.
fn learn(known: &mut FinishedRun, context: &ReportContext<'_>, finished: &Finished) {
    if let Some(cause) = outcome::cause(context, finished) {
        known.reason = Some(outcome::reason(finished, Some(&cause)));
        known.message = Some(sentence(context, finished, Some(&cause)));
    }
}

fn sentence(context: &ReportContext<'_>, finished: &Finished, cause: Option<&str>) -> String {
    let policy = context.record().and_then(|record| record.annotations.policy.as_ref());
    outcome::sentence(finished, cause, policy, outcome::failed_pod(context, finished))
}

/// A run that a candidate ended, by what the Lease says of it.
fn recorded(context: &ReportContext<'_>, finished: &Finished) -> FinishedRun {
    let pod = outcome::by_uid(context, &finished.by);
    let cause = outcome::cause(context, finished);
    let progress = runs::progress_of(context.job, context.observed, finished.run);
    let known = context.old().run.as_ref().filter(|run| run.number == i64::from(finished.run));
    FinishedRun {
        number: i64::from(finished.run),
        scheduled_time: scheduled_time(context, finished, known),
        outcome: match finished.outcome {
            Outcome::Succeeded => RunOutcome::Succeeded,
            Outcome::Failed => RunOutcome::Failed,
        },
        reason: Some(outcome::reason(finished, cause.as_deref())),
        message: Some(sentence(context, finished, cause.as_deref())),
        exit_code: finished.exit.map(Exit::code),
        pod: Some(finished.by.pod().to_owned()),
        node: pod.and_then(|pod| pod.node.clone()),
        attempts: to_i32(progress.map_or(finished.attempt, |progress| progress.starts)),
        start_time: start_time(context, finished, known),
        completion_time: Some(to_seconds(finished.completion_time)),
        fencing_token: finished.token.map(|token| token.to_string()),
    }
}

/// The tick of a run. The Lease knows it of the current run, and status of the run before.
fn scheduled_time(
    context: &ReportContext<'_>,
    finished: &Finished,
    known: Option<&CurrentRun>,
) -> Option<Time> {
    let (job, observed) = (context.job, context.observed);
    let is_current = runs::current(job, observed) == finished.run;
    let by_lease = if is_current { runs::scheduled_time(job, observed).map(to_seconds) } else { None };
    by_lease.or_else(|| known?.scheduled_time.clone())
}

fn start_time(context: &ReportContext<'_>, finished: &Finished, known: Option<&CurrentRun>) -> Option<Time> {
    let by_status = known.and_then(|run| run.start_time.clone()).or_else(|| context.old().start_time.clone());
    by_status.or(finished.start_time.map(to_seconds))
}

fn to_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
