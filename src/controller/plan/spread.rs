//! Spreads candidates over several nodes. If all are on one, as after the loss of a node, the controller
//! creates one candidate more.
//!
//! That candidate may land beside the others, or start nowhere. Then the controller deletes it, and waits
//! before the next try: 10 minutes, 20, up to a day. If it stands by elsewhere, the controller deletes a
//! standby beside the holder. The Lease records the tries, because no controller remembers them.

use std::time::Duration;

use jiff::Timestamp;

use super::super::api_call::doubled;
use super::super::observe::candidate::Candidate;
use super::super::observe::{Observed, room};
use super::candidates::{alive, has_made_its_attempt};
use super::run_plan::RunPlan;
use super::time::left;
use crate::api::SingletonJob;
use crate::lease::annotations::Spread;

/// How long another node has to have been ready: one that has just come back may go again.
const SETTLED: Duration = Duration::from_secs(60);
/// How long the candidate may take to start elsewhere.
const START_TIMEOUT: Duration = Duration::from_secs(600);
/// After the first try has ended.
const FIRST_REST: Duration = Duration::from_secs(600);
const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

/// What is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spreading {
    /// How many candidates there may be beyond the wanted ones.
    pub surplus: usize,
    /// What the Lease should say of tries.
    pub note: Option<Spread>,
    /// From now until it may be tried.
    pub look: Option<Duration>,
}

/// Decides.
pub fn decide(job: &SingletonJob, observed: &Observed, run: &RunPlan, now: Timestamp) -> Spreading {
    let standing = standing(job, observed);
    let part = || standing.iter().copied().filter(|candidate| observed.takes_part(candidate));
    if are_apart(part()) {
        return Spreading::default();
    }
    let note = observed.lease.as_ref().and_then(|lease| lease.record.annotations.spread.clone());
    let Some(crowded) = room::crowded(part()) else { return Spreading { note, ..Spreading::default() } };
    if let Some(note) = &note
        && let Some(tried) = newest_beyond(job, observed, &standing)
    {
        return await_start(note, tried, crowded, now);
    }
    if !is_quiet(job, observed, run, &standing) {
        return Spreading { note, ..Spreading::default() };
    }
    let Some(since) = observed.room else { return Spreading { note, ..Spreading::default() } };
    let rest = note
        .as_ref()
        .map_or(Duration::ZERO, |note| left(note.last, doubled(FIRST_REST, note.tries, LONGEST_REST), now));
    let wait = left(since, SETTLED, now).max(rest);
    if wait.is_zero() {
        let tries = note.map_or(0, |note| note.tries).saturating_add(1);
        return Spreading { surplus: 1, note: Some(Spread { tries, last: now }), look: None };
    }
    Spreading { note, look: Some(wait), ..Spreading::default() }
}

fn are_apart<'a>(mut able: impl Iterator<Item = &'a Candidate>) -> bool {
    let first = able.next().and_then(|candidate| candidate.node.as_ref());
    able.any(|candidate| candidate.node.as_ref() != first)
}

/// Those that take part or are to.
fn standing<'a>(job: &SingletonJob, observed: &'a Observed) -> Vec<&'a Candidate> {
    alive(observed)
        .filter(|candidate| !has_made_its_attempt(job, candidate) || observed.is_holder(candidate))
        .collect()
}

/// The candidate that was made to be on another node, while it cannot take over. `None` if nothing is tried.
pub fn tried<'a>(job: &SingletonJob, observed: &'a Observed) -> Option<&'a Candidate> {
    observed.lease.as_ref()?.record.annotations.spread.as_ref()?;
    newest_beyond(job, observed, &standing(job, observed))
}

/// Between two templates the newest is there for another purpose.
fn newest_beyond<'a>(
    job: &SingletonJob,
    observed: &Observed,
    standing: &[&'a Candidate],
) -> Option<&'a Candidate> {
    let newest = standing.iter().copied().max_by_key(|candidate| candidate.number)?;
    let is_one =
        standing.len() == wanted(job) + 1 && standing.iter().all(|candidate| observed.is_current(candidate));
    (is_one && !newest.can_take_over).then_some(newest)
}

/// The try ends when `tried` has landed beside the others, or has not started in time. The rest until the
/// next one is counted from then: by what the pod says, so that every look says the same of a pod that is
/// still there.
fn await_start(note: &Spread, tried: &Candidate, crowded: &str, now: Timestamp) -> Spreading {
    let began = tried.since.unwrap_or(note.last);
    let remaining = left(began, START_TIMEOUT, now);
    let ended = match tried.node.as_deref() == Some(crowded) {
        true => began,
        false if remaining.is_zero() => began + START_TIMEOUT,
        false => return Spreading { surplus: 1, note: Some(note.clone()), look: Some(remaining) },
    };
    Spreading { note: Some(Spread { last: note.last.max(ended), ..note.clone() }), ..Spreading::default() }
}

/// Whether nothing else is under way: one of the wanted template holds and is ready, and all others could
/// take over.
fn is_quiet(job: &SingletonJob, observed: &Observed, run: &RunPlan, standing: &[&Candidate]) -> bool {
    let serves = |candidate: &&Candidate| observed.is_current(candidate) && observed.serves(candidate);
    let asked = observed.lease.as_ref().is_some_and(|lease| lease.record.annotations.handover.is_some());
    let runs = run.goes_on && !job.spec.is_stopped();
    let all = standing.len() == wanted(job)
        && observed.candidates.iter().all(|candidate| candidate.is_alive() || candidate.end().is_some());
    runs && !asked && all && observed.holder_pod().is_some() && standing.iter().all(serves)
}

fn wanted(job: &SingletonJob) -> usize {
    usize::try_from(job.spec.replicas).unwrap_or(0)
}
