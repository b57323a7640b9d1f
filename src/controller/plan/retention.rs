//! Decides which ended pods stay, so that users can read their logs.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::{Candidate, End, PodRef};
use super::candidates::MOST_FAULTS;
use super::run_plan::RunPlan;
use super::runs;
use super::time::{left, seconds};
use crate::api::SingletonJob;

/// How many failed attempts of a one-shot stay at most, newest first.
const MOST_ATTEMPTS: usize = 10;
/// How many ended pods of a service stay. They were evicted or the like, because its attempts are restarts in
/// place.
const MOST_OF_SERVICE: usize = 3;

/// Ended pods that the controller deletes.
pub fn surplus(job: &SingletonJob, observed: &Observed, run: &RunPlan, now: Timestamp) -> Vec<PodRef> {
    if run.schedule.is_some() {
        surplus_of_runs(job, observed, run, now)
    } else {
        surplus_of_only_run(job, observed)
    }
}

fn surplus_of_only_run(job: &SingletonJob, observed: &Observed) -> Vec<PodRef> {
    let most = match job.spec.backoff_limit() {
        Some(limit) => usize::try_from(limit).unwrap_or(0).saturating_add(1).min(MOST_ATTEMPTS),
        None => MOST_OF_SERVICE,
    };
    let stopped = job.spec.is_stopped();
    let (interrupted, kept) = ended(observed, |pod, end| !end.succeeded && !pod.was_in_vain())
        .into_iter()
        .partition::<Vec<_>, _>(|candidate| stopped && candidate.end().is_some_and(End::is_interruption));
    let faults = ended(observed, |pod, _| pod.was_in_vain());
    let successes = ended(observed, |_, end| end.succeeded);
    let beyond = |list: Vec<&Candidate>, most: usize| {
        list.into_iter().skip(most).map(Candidate::pod_ref).collect::<Vec<_>>()
    };
    let mut surplus: Vec<_> = interrupted.into_iter().map(Candidate::pod_ref).collect();
    surplus.extend(beyond(kept, most));
    surplus.extend(beyond(faults, MOST_FAULTS));
    surplus.extend(beyond(successes, 1));
    surplus
}

/// Ended pods of a job with a schedule that the controller deletes, because they are beyond its limits or too
/// old.
fn surplus_of_runs(job: &SingletonJob, observed: &Observed, run: &RunPlan, now: Timestamp) -> Vec<PodRef> {
    let Some(schedule) = &job.spec.schedule else { return Vec::new() };
    let limit = |limit: i32| usize::try_from(limit).unwrap_or(0);
    let attempts = limit(job.spec.backoff_limit().unwrap_or(0)).saturating_add(1).min(MOST_ATTEMPTS);
    let failures =
        limit(schedule.failed_runs_history_limit).saturating_add(if run.goes_on { attempts } else { 0 });
    // Which pods held the Lease in runs that are long over is not known any more.
    let is_of_earlier = |pod: &Candidate| pod.made_for.is_some_and(|made_for| made_for < run.number);
    let in_vain = |pod: &Candidate, end: &End| end.is_fault() || !is_of_earlier(pod) && pod.was_in_vain();
    let newest = [
        (ended(observed, |_, end| end.succeeded), limit(schedule.successful_runs_history_limit)),
        (ended(observed, |pod, end| !end.succeeded && !in_vain(pod, end)), failures),
        (ended(observed, in_vain), MOST_FAULTS),
    ];
    let beyond = newest
        .into_iter()
        .flat_map(|(list, most)| list.into_iter().enumerate().map(move |(place, pod)| (place >= most, pod)));
    let is_too_old = |pod: &Candidate| remaining_life(job, pod, now) == Some(Duration::ZERO);
    beyond.filter(|(beyond, pod)| *beyond || is_too_old(pod)).map(|(_, pod)| pod.pod_ref()).collect()
}

/// How long an ended pod still stays. `None` if it stays for good.
fn remaining_life(job: &SingletonJob, pod: &Candidate, now: Timestamp) -> Option<Duration> {
    let granted = seconds(job.spec.pod_ttl_seconds_after_finished?);
    Some(left(pod.end()?.at?, granted, now))
}

/// How long the pods of the finished run stay, or with a schedule the first of them. `None` if they stay for
/// good, or if the run is not over.
pub fn time_to_live(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Option<Duration> {
    if job.spec.schedule.is_some() {
        return observed.candidates.iter().filter_map(|pod| remaining_life(job, pod, now)).min();
    }
    let granted = seconds(job.spec.pod_ttl_seconds_after_finished?);
    Some(left(runs::completion_time(job, observed)?, granted, now))
}

/// How long the finished SingletonJob itself still stays. `None` if it stays for good, is not over, or status
/// does not say so yet.
pub fn left_of_job(job: &SingletonJob, observed: &Observed, now: Timestamp) -> Option<Duration> {
    if job.spec.schedule.is_some() {
        return None;
    }
    let granted = seconds(job.spec.ttl_seconds_after_finished?);
    job.status.as_ref()?.runs.first()?;
    Some(left(runs::completion_time(job, observed)?, granted, now))
}

/// Kept pods whose attempt is over, and whose other containers still run although they should end too.
pub fn with_running_sidecars(observed: &Observed, delete: &[PodRef]) -> Vec<PodRef> {
    let running = observed.candidates.iter().filter(|candidate| candidate.has_running_sidecars);
    running.map(Candidate::pod_ref).filter(|pod| !delete.contains(pod)).collect()
}

/// Kept pods that would go with a node that does not answer.
pub fn fleeting(observed: &Observed, delete: &[PodRef]) -> Vec<PodRef> {
    let kept = observed.candidates.iter().filter(|candidate| candidate.fleeting && candidate.end().is_some());
    kept.map(Candidate::pod_ref).filter(|pod| !delete.contains(pod)).collect()
}

/// The ended candidates that `which` selects, newest first.
fn ended(observed: &Observed, which: impl Fn(&Candidate, &End) -> bool) -> Vec<&Candidate> {
    let is_one = |candidate: &&Candidate| candidate.end().is_some_and(|end| which(candidate, end));
    let mut list: Vec<_> = observed.candidates.iter().filter(is_one).collect();
    list.sort_by_key(|candidate| std::cmp::Reverse(candidate.number));
    list
}
