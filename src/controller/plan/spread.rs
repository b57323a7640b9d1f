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

/// How long another node must have been ready, because one that has just come back may go again.
const SETTLED: Duration = Duration::from_secs(60);
/// How long the candidate may take to start elsewhere.
const START_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the controller waits after the first try has ended.
const FIRST_REST: Duration = Duration::from_secs(600);
const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

/// What the controller does in order to have candidates on several nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spreading {
    /// How many candidates there may be beyond the wanted ones.
    pub surplus: usize,
    /// What the Lease should say of tries.
    pub note: Option<Spread>,
    /// How long until the controller may try. `None` if it waits for no moment.
    pub look: Option<Duration>,
}

/// Decides whether the controller wants one more candidate, so that one is on another node.
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
    match observed.room {
        Some(since) if is_quiet(job, observed, run, &standing) => next_try(note, since, now),
        _ => Spreading { note, ..Spreading::default() },
    }
}

/// Begins the next try, or waits for it. `since` is when another node became ready to take a candidate.
fn next_try(note: Option<Spread>, since: Timestamp, now: Timestamp) -> Spreading {
    let rest = note
        .as_ref()
        .map_or(Duration::ZERO, |note| left(note.last, doubled(FIRST_REST, note.tries, LONGEST_REST), now));
    let wait = left(since, SETTLED, now).max(rest);
    if !wait.is_zero() {
        return Spreading { note, look: Some(wait), ..Spreading::default() };
    }
    let tries = note.map_or(0, |note| note.tries).saturating_add(1);
    Spreading { surplus: 1, note: Some(Spread { tries, last: now }), look: None }
}

fn are_apart<'a>(mut able: impl Iterator<Item = &'a Candidate>) -> bool {
    let first = able.next().and_then(|candidate| candidate.node.as_ref());
    able.any(|candidate| candidate.node.as_ref() != first)
}

/// Candidates that take part or will.
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

/// The newest candidate, if it is one more than wanted and cannot take over yet. `None` between two
/// templates, where the newest is there for another purpose.
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

/// Ends the try when `tried` has landed beside the others, or has not started in time. The rest until the
/// next one counts from then. It counts by what the pod says, so that every look decides the same while the
/// pod is there.
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

/// Whether nothing else is under way. The holder is then of the wanted template and ready, and all others
/// could take over.
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
