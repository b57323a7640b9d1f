//! Computes the status of a SingletonJob.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::format::to_seconds;
use super::history::{finished_runs, takeovers};
use super::{ReportContext, conditions};
use crate::api::SingletonJobStatus;
use crate::api::status::{
    Candidate, CandidateRole, CurrentRun, FinishedRun, LeaseStatus, MOST_CANDIDATES, PendingRequest,
    RunOutcome,
};
use crate::contract::labels;
use crate::controller::observe::candidate::{self, Phase};
use crate::controller::plan::handover::request::{HandoverAnswer, HandoverRequest};
use crate::controller::plan::run_plan::{RunAnswer, RunRequest};
use crate::controller::plan::{self, clearance, runs, takeover};
use crate::lease::identity::{Identity, Version};

/// The status that users should read now. Only conditions change while the Lease does not say what the
/// controller has decided about a schedule.
pub fn compute(context: &ReportContext<'_>) -> SingletonJobStatus {
    let old = context.old();
    if context.run.schedule.is_some() && !context.effects.stored {
        return SingletonJobStatus { conditions: conditions::of_unstored(context), ..old.clone() };
    }
    let run = run(context);
    SingletonJobStatus {
        observed_generation: context.job.metadata.generation,
        conditions: conditions::all(context),
        replicas: Some(count(alive(context))),
        ready_replicas: Some(count(alive(context).filter(|candidate| candidate.ready))),
        ready_standbys: Some(count(context.standbys())),
        selector: Some(format!("{}={}", labels::JOB, context.job.name_any())),
        lease: lease(context),
        candidates: candidates(context),
        last_candidate_number: context.effects.last_number.max(old.last_candidate_number),
        last_handled_cleared_holder: clearance::confirmation::handled(context.job, context.observed),
        start_time: start_time(context, run.as_ref()),
        completion_time: completion_time(context),
        run,
        last_schedule_time: last_schedule_time(context),
        next_schedule_time: context.run.schedule.as_ref().and_then(|plan| plan.next).map(to_seconds),
        missed_runs: missed_runs(context),
        succeeded_runs: ever(context, RunOutcome::Succeeded, old.succeeded_runs),
        failed_runs: ever(context, RunOutcome::Failed, old.failed_runs),
        runs: context.runs.clone(),
        takeovers: takeovers::all(context),
        pending_handover_request: pending(context),
        last_handled_handover_request: handled(context).or_else(|| old.last_handled_handover_request.clone()),
        last_handled_run_request: handled_run(context).or_else(|| old.last_handled_run_request.clone()),
    }
}

fn alive<'a>(context: &'a ReportContext<'_>) -> impl Iterator<Item = &'a candidate::Candidate> {
    context.observed.candidates.iter().filter(|candidate| candidate.is_alive())
}

/// When the run of a job without a schedule started.
fn start_time(context: &ReportContext<'_>, run: Option<&CurrentRun>) -> Option<Time> {
    let started = || if is_once(context) { run?.start_time.clone() } else { None };
    context.old().start_time.clone().or_else(started)
}

/// When the run of a job without a schedule completed.
fn completion_time(context: &ReportContext<'_>) -> Option<Time> {
    if is_once(context) { context.runs.first()?.completion_time.clone() } else { None }
}

fn is_once(context: &ReportContext<'_>) -> bool {
    context.job.spec.schedule.is_none()
}

fn last_schedule_time(context: &ReportContext<'_>) -> Option<Time> {
    match &context.run.schedule {
        Some(schedule) => schedule.ticks.last.map(to_seconds),
        None => context.old().last_schedule_time.clone(),
    }
}

fn missed_runs(context: &ReportContext<'_>) -> Option<i64> {
    match &context.run.schedule {
        Some(schedule) => i64::try_from(schedule.ticks.missed).ok(),
        None => context.old().missed_runs,
    }
}

/// How many runs ended with `outcome`, including those that have left the list; `before` of them were known.
/// `None` while no run has ended.
fn ever(context: &ReportContext<'_>, outcome: RunOutcome, before: Option<i32>) -> Option<i32> {
    let is_new = |run: &&FinishedRun| run.outcome == outcome && finished_runs::is_new(run, context.old());
    let new = to_i32(context.runs.iter().filter(is_new).count());
    (!context.runs.is_empty()).then(|| before.unwrap_or(0).saturating_add(new))
}

fn handled_run(context: &ReportContext<'_>) -> Option<String> {
    let RunRequest { text, answer } = context.run.request.as_ref()?;
    match answer {
        RunAnswer::Waits => None,
        RunAnswer::Granted | RunAnswer::Refused(_) | RunAnswer::Recorded | RunAnswer::Past => {
            Some(text.clone())
        }
    }
}

fn pending(context: &ReportContext<'_>) -> Option<PendingRequest> {
    let HandoverRequest { text, answer } = context.request?;
    match answer {
        HandoverAnswer::Waits { since, left: _ } => {
            Some(PendingRequest { request: text.clone(), since: to_seconds(*since) })
        }
        HandoverAnswer::Granted(_)
        | HandoverAnswer::Refused(_)
        | HandoverAnswer::Recorded
        | HandoverAnswer::Past => None,
    }
}

fn handled(context: &ReportContext<'_>) -> Option<String> {
    let HandoverRequest { text, answer } = context.request?;
    match answer {
        HandoverAnswer::Waits { .. } => None,
        HandoverAnswer::Granted(_)
        | HandoverAnswer::Refused(_)
        | HandoverAnswer::Recorded
        | HandoverAnswer::Past => Some(text.clone()),
    }
}

fn count<'a>(candidates: impl Iterator<Item = &'a candidate::Candidate>) -> i32 {
    to_i32(candidates.count())
}

fn to_i32(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn candidates(context: &ReportContext<'_>) -> Vec<Candidate> {
    let holder = context.holder().and_then(Identity::pod_uid);
    let shown = context.observed.candidates.iter().filter(|candidate| candidate.end().is_none());
    let show = |candidate: &candidate::Candidate| Candidate {
        name: candidate.name.clone(),
        node: candidate.node.clone(),
        role: match &candidate.phase {
            Phase::Terminating | Phase::Terminated(_) => CandidateRole::Draining,
            Phase::Active if Some(candidate.uid.as_str()) == holder => CandidateRole::Active,
            Phase::Active if context.is_standby(candidate) => CandidateRole::Standby,
            Phase::Active => CandidateRole::Pending,
        },
        ready: candidate.ready,
        since: candidate.since.map(to_seconds),
    };
    let all: Vec<_> = shown.map(show).collect();
    all.into_iter().rev().take(MOST_CANDIDATES).rev().collect()
}

fn lease(context: &ReportContext<'_>) -> Option<LeaseStatus> {
    let old = context.old();
    let Ok(timing) = plan::policy::timing(context.job) else { return old.lease.clone() };
    if context.refusal.is_some() {
        return old.lease.clone();
    }
    let before = old.lease.clone().unwrap_or_default();
    let record = context.record();
    let holder = context.holder();
    let milliseconds = |duration: std::time::Duration| i32::try_from(duration.as_millis()).ok();
    let seconds = |duration: std::time::Duration| i32::try_from(duration.as_secs()).ok();
    let proven =
        record.filter(|record| record.acquire_time.is_some()).and_then(|record| record.holder.as_ref());
    let proven = proven.filter(|holder| holder.is_of(&context.job.name_any()));
    let created = context.effects.lease_created.map(|_is_again| 0);
    Some(LeaseStatus {
        name: context.job.name_any(),
        holder: holder.map(|holder| holder.pod().to_owned()),
        node: context.holder_pod().and_then(|pod| pod.node.clone()),
        acquire_time: holder.and(record).and_then(|record| record.acquire_time).map(to_seconds),
        fencing_token: token(context, &before).map(|token| token.to_string()),
        transitions: record.map(|record| record.transitions).or(before.transitions).or(created),
        last_holder_identity: proven.map(ToString::to_string).or(before.last_holder_identity),
        lease_duration_seconds: seconds(timing.lease_duration()),
        longest_lease_duration_seconds: seconds(takeover::longest(context.job, context.observed)),
        renew_deadline_milliseconds: milliseconds(timing.renew_deadline()),
        grace_period_milliseconds: milliseconds(timing.grace_period()),
        retry_period_milliseconds: milliseconds(timing.retry_period()),
    })
}

/// The holder's token. If it is not known, the highest token that is: the holder before said it when it
/// ended, or status knows it.
fn token(context: &ReportContext<'_>, before: &LeaseStatus) -> Option<Version> {
    let seen = context.seen();
    let said =
        seen.and_then(|seen| seen.record.annotations.released.as_ref()).and_then(|released| released.token);
    let finished =
        seen.and_then(|seen| seen.record.annotations.finished.as_ref()).and_then(|finished| finished.token);
    let known = before.fencing_token.as_ref().and_then(|token| token.parse().ok());
    seen.and_then(|seen| seen.observation.token).or(said.max(finished).max(known))
}

/// The current run. `None` if it is over, or if a job without a schedule has not started it. A run of a
/// schedule is there from its tick on.
fn run(context: &ReportContext<'_>) -> Option<CurrentRun> {
    let number = context.run.number;
    if context.runs.iter().any(|run| run.number == i64::from(number)) || !context.run.goes_on {
        return None;
    }
    let known = context.old().run.clone().filter(|run| run.number == i64::from(number));
    let scheduled_time = context.run.scheduled_time.map(to_seconds);
    let Some(progress) = runs::progress_of(context.job, context.observed, number) else {
        let unstarted = CurrentRun { number: i64::from(number), scheduled_time, ..CurrentRun::default() };
        return known.or(context.run.schedule.as_ref().map(|_| unstarted));
    };
    let began =
        if progress.starts > 0 { context.record().and_then(|record| record.acquire_time) } else { None };
    Some(CurrentRun {
        number: i64::from(progress.run),
        scheduled_time,
        start_time: known.and_then(|run| run.start_time).or(began.map(to_seconds)),
        attempts: i32::try_from(progress.starts).unwrap_or(i32::MAX),
        failures: i32::try_from(progress.failures).unwrap_or(i32::MAX),
        ignored_failures: i32::try_from(progress.ignored).unwrap_or(i32::MAX),
    })
}
