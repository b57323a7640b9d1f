//! How many candidate pods, which, and under what names.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::{Candidate, End};
use super::left;
use super::retention::MOST_FAULTS;
use crate::api::SingletonJob;
use crate::contract::labels;

const FIRST_PACE: Duration = Duration::from_secs(10);

/// One more than any number known to have been used.
pub fn next_number(job: &SingletonJob, observed: &Observed) -> i64 {
    let recorded = job.status.as_ref().and_then(|status| status.last_candidate_number).unwrap_or(0);
    let seen = observed.candidates.iter().map(|candidate| candidate.number).max().unwrap_or(0);
    recorded.max(seen).saturating_add(1)
}

/// How long no candidate is made, because the last ones ended before they could be an attempt: doubling, from 10 s.
pub fn pace(observed: &Observed, now: Timestamp) -> Duration {
    let newest_attempt = numbers(observed, |end| !end.is_fault()).max().unwrap_or(0);
    let able = observed.candidates.iter().filter(|candidate| candidate.able).map(|candidate| candidate.number).max().unwrap_or(0);
    let faults: Vec<_> = numbers(observed, End::is_fault).filter(|number| *number > newest_attempt.max(able)).collect();
    let Some(exponent) = faults.len().min(MOST_FAULTS).checked_sub(1) else { return Duration::ZERO };
    let last = observed.candidates.iter().filter_map(Candidate::end).filter(|end| end.is_fault()).filter_map(|end| end.at).max();
    let wait = FIRST_PACE * 2_u32.saturating_pow(u32::try_from(exponent).unwrap_or(0));
    last.map_or(Duration::ZERO, |last| left(last, wait, now))
}

fn numbers(observed: &Observed, which: impl Fn(&End) -> bool) -> impl Iterator<Item = i64> {
    let numbers = observed.candidates.iter().filter(move |candidate| candidate.end().is_some_and(&which)).map(|candidate| candidate.number);
    numbers.collect::<Vec<_>>().into_iter()
}

/// The run is over: standbys go. Whoever ended it is kept for its log, although others of its containers may still run.
pub fn all_but_the_finisher(observed: &Observed) -> Vec<(String, String)> {
    let by = observed.lease.as_ref().and_then(|lease| lease.record.notes.finished.as_ref()).and_then(|finished| finished.by.pod_uid());
    alive(observed).filter(|candidate| Some(candidate.uid.as_str()) != by).map(name).collect()
}

/// Between two runs: those that were made for an earlier one, whose environment is of that time. Whoever ended it is kept for its log.
pub fn stale(observed: &Observed, next: u32) -> Vec<(String, String)> {
    let gone = all_but_the_finisher(observed);
    let stale = alive(observed).filter(|candidate| candidate.made_for != Some(next)).map(name);
    stale.filter(|pod| gone.contains(pod)).collect()
}

/// Nothing should run: standbys go at once, the holder when it has released, or can no longer be running.
pub fn stopped(observed: &Observed) -> Vec<(String, String)> {
    let holder = observed.holder_uid();
    alive(observed).filter(|candidate| Some(candidate.uid.as_str()) != holder).map(name).collect()
}

/// Candidates that take part, by number.
pub fn alive(observed: &Observed) -> impl Iterator<Item = &Candidate> {
    observed.candidates.iter().filter(|candidate| candidate.is_alive())
}

/// What identifies a pod for deletion.
pub fn name(candidate: &Candidate) -> (String, String) {
    (candidate.name.clone(), candidate.uid.clone())
}

/// The template's, and those of pods of an older template: they hold the Lease until they are gone.
pub fn service_accounts(job: &SingletonJob, observed: &Observed) -> Vec<String> {
    let pod = job.spec.template.spec.as_ref();
    let own = pod.and_then(|pod| pod.service_account_name.clone()).filter(|name| !name.is_empty());
    let mut accounts = vec![own.unwrap_or_else(|| "default".to_owned())];
    accounts.extend(
        observed.candidates.iter().filter(|candidate| candidate.end().is_none()).map(|candidate| candidate.service_account.clone()),
    );
    accounts.sort();
    accounts.dedup();
    accounts
}

/// Pods whose role label does not say who holds the Lease.
pub fn labels(observed: &Observed) -> Vec<(String, String, &'static str)> {
    let holder = observed.lease.as_ref().and_then(|lease| lease.record.holder.as_ref()).and_then(|holder| holder.pod_uid());
    let role = |candidate: &Candidate| if Some(candidate.uid.as_str()) == holder { labels::ROLE_ACTIVE } else { labels::ROLE_STANDBY };
    let wrong = observed.candidates.iter().filter(|candidate| candidate.role.as_deref() != Some(role(candidate)));
    wrong.map(|candidate| (candidate.name.clone(), candidate.uid.clone(), role(candidate))).collect()
}
