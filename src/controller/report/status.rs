//! Computes the status of a SingletonJob.

use kube::ResourceExt;

use super::format::to_seconds;
use super::{ReportContext, conditions, history};
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

/// What users should read now.
pub fn compute(context: &ReportContext<'_>) -> SingletonJobStatus {
    let old = context.old();
    if context.run.schedule.is_some() && !context.stored {
        return SingletonJobStatus { conditions: conditions::of_unstored(context, &old), ..old };
    }
    let observed = context.observed;
    let alive = || observed.candidates.iter().filter(|candidate| candidate.is_alive());
    let ready = alive().filter(|candidate| candidate.ready);
    let runs = history::runs(context, &old);
    let run = run(context, &old, &runs);
    let schedule = context.run.schedule.as_ref();
    let is_once = context.job.spec.schedule.is_none();
    SingletonJobStatus {
        observed_generation: context.job.metadata.generation,
        conditions: conditions::all(context, &old),
        replicas: Some(count(alive())),
        ready_replicas: Some(count(ready)),
        ready_standbys: Some(count(context.standbys())),
        selector: Some(format!("{}={}", labels::JOB, context.job.name_any())),
        lease: lease(context, &old),
        candidates: candidates(context),
        last_candidate_number: context.last_number.max(old.last_candidate_number),
        last_handled_cleared_holder: clearance::confirmation::handled(context.job, observed),
        start_time: old
            .start_time
            .clone()
            .or_else(|| if is_once { run.as_ref()?.start_time.clone() } else { None }),
        completion_time: if is_once {
            runs.first().and_then(|run| run.completion_time.clone())
        } else {
            None
        },
        run,
        last_schedule_time: schedule
            .map_or(old.last_schedule_time.clone(), |schedule| schedule.ticks.last.map(to_seconds)),
        next_schedule_time: schedule.and_then(|schedule| schedule.next).map(to_seconds),
        missed_runs: schedule.map_or(old.missed_runs, |schedule| i64::try_from(schedule.ticks.missed).ok()),
        succeeded_runs: (!runs.is_empty())
            .then(|| ever(old.succeeded_runs, &runs, &old, RunOutcome::Succeeded)),
        failed_runs: (!runs.is_empty()).then(|| ever(old.failed_runs, &runs, &old, RunOutcome::Failed)),
        runs,
        takeovers: history::takeovers(context, &old),
        pending_handover_request: pending(context),
        last_handled_handover_request: handled(context).or(old.last_handled_handover_request),
        last_handled_run_request: handled_run(context).or(old.last_handled_run_request),
    }
}

/// Runs that ended so, those that are not in the list any more included.
fn ever(before: Option<i32>, runs: &[FinishedRun], old: &SingletonJobStatus, outcome: RunOutcome) -> i32 {
    let new = runs.iter().filter(|run| run.outcome == outcome && history::is_new(run, old)).count();
    before.unwrap_or(0).saturating_add(to_i32(new))
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

fn lease(context: &ReportContext<'_>, old: &SingletonJobStatus) -> Option<LeaseStatus> {
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
    Some(LeaseStatus {
        name: context.job.name_any(),
        holder: holder.map(|holder| holder.pod().to_owned()),
        node: context.holder_pod().and_then(|pod| pod.node.clone()),
        acquire_time: holder.and(record).and_then(|record| record.acquire_time).map(to_seconds),
        fencing_token: token(context, &before).map(|token| token.to_string()),
        transitions: record.map(|record| record.transitions).or(before.transitions),
        last_holder_identity: proven.map(ToString::to_string).or(before.last_holder_identity),
        lease_duration_seconds: seconds(timing.lease_duration()),
        longest_lease_duration_seconds: seconds(takeover::longest(context.job, context.observed)),
        renew_deadline_milliseconds: milliseconds(timing.renew_deadline()),
        grace_period_milliseconds: milliseconds(timing.grace_period()),
        retry_period_milliseconds: milliseconds(timing.retry_period()),
    })
}

/// The holder's token; where it is not known, the highest that is: as was said when it was released, or as
/// was known before.
fn token(context: &ReportContext<'_>, before: &LeaseStatus) -> Option<Version> {
    let seen = context.seen();
    let said =
        seen.and_then(|seen| seen.record.annotations.released.as_ref()).and_then(|released| released.token);
    let finished =
        seen.and_then(|seen| seen.record.annotations.finished.as_ref()).and_then(|finished| finished.token);
    let known = before.fencing_token.as_ref().and_then(|token| token.parse().ok());
    seen.and_then(|seen| seen.observation.token).or(said.max(finished).max(known))
}

/// The run that goes on. Of a schedule it is there from its tick on, otherwise from its first start.
fn run(context: &ReportContext<'_>, old: &SingletonJobStatus, over: &[FinishedRun]) -> Option<CurrentRun> {
    let (number, goes_on) = (context.run.number, context.run.goes_on);
    let known = old.run.clone().filter(|run| run.number == i64::from(number));
    if over.iter().any(|run| run.number == i64::from(number)) || !goes_on {
        return None;
    }
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
