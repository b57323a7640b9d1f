//! Counts, numbers and labels candidate pods, and decides which of them go when a run ends.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::{Candidate, End, PodRef};
use super::time::left;
use crate::api::SingletonJob;
use crate::contract::labels;
use crate::lease::annotations::Reason;

/// How many pods stay that ended before they could make an attempt. One is not enough, because they are also
/// the memory of the back-off.
pub const MOST_FAULTS: usize = 7;
const FIRST_PACE: Duration = Duration::from_secs(10);
const LONGEST_PACE: Duration = Duration::from_secs(360);

/// One more than any number known to have been used.
pub fn next_number(job: &SingletonJob, observed: &Observed) -> i64 {
    let recorded = job.status.as_ref().and_then(|status| status.last_candidate_number).unwrap_or(0);
    let seen = observed.candidates.iter().map(|candidate| candidate.number).max().unwrap_or(0);
    recorded.max(seen).saturating_add(1)
}

/// Candidates to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPods {
    /// The number of the first. If a name is taken, the controller tries the next number.
    pub first: i64,
    /// How many.
    pub count: usize,
}

/// How long the controller creates no candidate, because the last ones of this template ended before they
/// could make an attempt. The pause doubles from 10 s to 6 min, as in batch/v1.
pub fn pace(observed: &Observed, now: Timestamp) -> Duration {
    let in_vain = || ended(observed).filter(|(candidate, _)| candidate.was_in_vain());
    let proven = newest_proven(observed);
    let faults = in_vain().filter(|(candidate, _)| Some(candidate.number) > proven).count();
    let Some(pause) = pause_after(faults) else { return Duration::ZERO };
    in_vain().filter_map(|(_, end)| end.at).max().map_or(Duration::ZERO, |last| left(last, pause, now))
}

/// The candidates of the current template that have ended.
fn ended(observed: &Observed) -> impl Iterator<Item = (&Candidate, &End)> {
    let is_current = move |candidate: &&Candidate| {
        candidate.template_hash.as_ref().is_none_or(|hash| *hash == observed.template_hash)
    };
    observed.candidates.iter().filter(is_current).filter_map(|candidate| Some((candidate, candidate.end()?)))
}

/// The number of the newest candidate that made an attempt or could take over. The faults before it do not
/// count.
fn newest_proven(observed: &Observed) -> Option<i64> {
    let attempts = ended(observed).filter(|(candidate, _)| !candidate.was_in_vain());
    let able = observed.candidates.iter().filter(|candidate| candidate.can_take_over);
    attempts.map(|(candidate, _)| candidate.number).chain(able.map(|candidate| candidate.number)).max()
}

/// The pause after so many `faults` in a row. `None` after none.
fn pause_after(faults: usize) -> Option<Duration> {
    let exponent = u32::try_from(faults.min(MOST_FAULTS).checked_sub(1)?).unwrap_or(0);
    Some((FIRST_PACE * 2_u32.saturating_pow(exponent)).min(LONGEST_PACE))
}

/// Standbys that the controller deletes after the run. A pod that made an attempt stays for its log. The
/// kubelet may not have reported its end yet, and its other containers may still run.
pub fn left_over(observed: &Observed) -> Vec<PodRef> {
    alive(observed).filter(|candidate| !candidate.has_held).map(Candidate::pod_ref).collect()
}

/// Candidates that the controller deletes between two runs, because their environment is an earlier run's. A
/// pod that made an attempt stays.
pub fn stale(observed: &Observed, next: u32) -> Vec<PodRef> {
    alive(observed)
        .filter(|candidate| candidate.made_for != Some(next) && !candidate.has_held)
        .map(Candidate::pod_ref)
        .collect()
}

/// Candidates that the controller deletes while nothing should run. Standbys go at once, and the holder when
/// it has released the Lease or can no longer run. Pods of a one-shot's earlier attempts stay for their logs.
pub fn stopped(job: &SingletonJob, observed: &Observed) -> Vec<PodRef> {
    let holder = observed.holder_uid();
    let last = last_holder(observed);
    let goes = |candidate: &&Candidate| {
        let uid = Some(candidate.uid.as_str());
        uid != holder && (uid == last || !has_made_its_attempt(job, candidate))
    };
    alive(observed).filter(goes).map(Candidate::pod_ref).collect()
}

/// The uid of the pod that holds the Lease, whether its lease has expired or not, or that gave it back
/// because nothing should run.
fn last_holder(observed: &Observed) -> Option<&str> {
    let record = &observed.lease.as_ref()?.record;
    let stopped = record.annotations.released.as_ref().filter(|released| released.reason == Reason::Stopped);
    record.holder.as_ref().or(stopped.map(|released| &released.by))?.pod_uid()
}

/// Whether the candidate will never hold the Lease again. The container of a one-shot makes one attempt, and
/// the kubelet does not restart it. Its log is safe only after the kubelet has reported the end.
pub fn has_made_its_attempt(job: &SingletonJob, candidate: &Candidate) -> bool {
    candidate.has_held && !job.spec.is_service()
}

/// Candidates that neither ended nor terminate, by number.
pub fn alive(observed: &Observed) -> impl Iterator<Item = &Candidate> {
    observed.candidates.iter().filter(|candidate| candidate.is_alive())
}

/// The service accounts of the template and of all pods that have not ended. A pod of an older template may
/// hold the Lease until it is gone.
pub fn service_accounts(job: &SingletonJob, observed: &Observed) -> Vec<String> {
    let pod = job.spec.template.spec.as_ref();
    let own = pod.and_then(|pod| pod.service_account_name.clone()).filter(|name| !name.is_empty());
    let mut accounts = vec![own.unwrap_or_else(|| "default".to_owned())];
    accounts.extend(
        observed
            .candidates
            .iter()
            .filter(|candidate| candidate.end().is_none())
            .map(|candidate| candidate.service_account.clone()),
    );
    accounts.sort();
    accounts.dedup();
    accounts
}

/// What the role label of a pod should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleLabel {
    /// Which pod.
    pub pod: PodRef,
    /// One of [`labels::ROLE_ACTIVE`] and [`labels::ROLE_STANDBY`].
    pub role: &'static str,
}

/// Pods whose role label does not say who holds the Lease.
pub fn labels(observed: &Observed) -> Vec<RoleLabel> {
    let holder = observed
        .lease
        .as_ref()
        .and_then(|lease| lease.record.holder.as_ref())
        .and_then(|holder| holder.pod_uid());
    let role = |candidate: &Candidate| {
        if Some(candidate.uid.as_str()) == holder { labels::ROLE_ACTIVE } else { labels::ROLE_STANDBY }
    };
    let wrong =
        observed.candidates.iter().filter(|candidate| candidate.role.as_deref() != Some(role(candidate)));
    wrong.map(|candidate| RoleLabel { pod: candidate.pod_ref(), role: role(candidate) }).collect()
}
