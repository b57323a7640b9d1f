//! Whom to ask to hand over, and to whom: the one place that decides about voluntary changes of hands.
//!
//! In this order: on request, to a new template, away from a pod that is not ready, back to a preferred node. There is at most one at a
//! time, and none without a ready successor. One that is under way gives way only to one that comes before it in this order, for the same
//! holder: a holder of an older agent may not understand why it was asked.

pub mod request;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::Candidate;
use super::{candidates, is_service, left, preference, seconds};
use crate::api::SingletonJob;
use crate::api::status::TakeoverReason;
use crate::api::takeover::{Failback, UnreadyPolicy};
use crate::lease::notes::{Handover, Reason};
use crate::lease::record::Identity;
use request::{Fate, Request};

/// How long a holder is left in peace after it took over, before it hands back to a better place.
const REST: Duration = Duration::from_secs(60);
/// The same, where the one before was not ready: the better place may be the one that it was in. As long as a workload has to run until
/// earlier failures are forgiven.
const LONG_REST: Duration = Duration::from_secs(600);

/// What is wished of the holder and of those who follow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Whom to ask to hand over.
    pub handover: Option<Handover>,
    /// Pod uids in the order in which they should take over; none leaves what the Lease says.
    pub succession: Option<Vec<String>>,
    /// What becomes of a request to hand over.
    pub request: Option<Request>,
    /// From now until something is due.
    pub look: Option<Duration>,
}

/// A holder that can be asked, and who could follow it.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    identity: &'a Identity,
    holder: &'a Candidate,
    /// Those that could take over, best first.
    standbys: Vec<&'a Candidate>,
    acquired: Timestamp,
    /// Why the holder before gave the Lease back, if it did.
    began: Option<Reason>,
    /// Why the holder has been asked to hand over, if it was.
    asked: Option<Reason>,
}

impl<'a> Stage<'a> {
    fn of(job: &SingletonJob, observed: &'a Observed) -> Option<Self> {
        let identity = observed.holder()?;
        let holder = observed.holder_pod().filter(|pod| pod.is_alive())?;
        let record = &observed.lease.as_ref()?.record;
        let notes = &record.notes;
        Some(Self {
            identity,
            holder,
            standbys: standbys(job, observed, holder),
            acquired: record.acquire_time?,
            began: notes.released.as_ref().map(|released| released.reason),
            asked: notes.handover.as_ref().filter(|asked| asked.holder == *identity).map(|asked| asked.reason),
        })
    }
}

/// Of the wanted template before others, on a better node before others, older before younger.
fn standbys<'a>(job: &SingletonJob, observed: &'a Observed, holder: &Candidate) -> Vec<&'a Candidate> {
    let able = candidates::alive(observed).filter(|candidate| candidate.able && candidate.uid != holder.uid);
    let mut standbys: Vec<_> = able.collect();
    standbys.sort_by_key(|standby| (is_old(observed, standby), Reverse(score(job, observed, standby)), standby.number));
    standbys
}

fn is_old(observed: &Observed, candidate: &Candidate) -> bool {
    candidate.template_hash.as_deref() != Some(&observed.template_hash)
}

/// How good a place the candidate is in; none where its node is not known.
fn score(job: &SingletonJob, observed: &Observed, candidate: &Candidate) -> Option<i32> {
    let node = candidate.node.as_ref()?;
    Some(preference::score(&job.spec.takeover.preferred_nodes, node, observed.nodes.get(node)?))
}

/// Chooses; `rolls_out` says that everything is ready for the holder of an old template to go.
pub fn choose(job: &SingletonJob, observed: &Observed, rolls_out: bool, now: Timestamp) -> Choice {
    let stage = Stage::of(job, observed);
    let request = request::settle(job, observed, stage.as_ref(), now);
    let waits = match &request {
        Some(Request { fate: Fate::Waits { left, .. }, .. }) => Some(*left),
        Some(_) | None => None,
    };
    let Some(stage) = stage else { return Choice { request, look: waits, ..Choice::default() } };
    let unready = unready_due(job, &stage, now);
    let failback = failback_due(job, observed, &stage, now);
    let reason = reason(request.as_ref(), rolls_out, unready, failback).filter(|_| !stage.standbys.is_empty());
    let handover =
        reason.map(|reason| stage.ask(reason, observed, request.as_ref())).filter(|wish| !is_under_way(stage.asked, wish.reason));
    Choice {
        succession: succession(observed, &stage, handover.as_ref(), request.as_ref()),
        handover,
        look: [waits, unready, failback].into_iter().flatten().filter(|due| !due.is_zero()).min(),
        request,
    }
}

fn reason(request: Option<&Request>, rolls_out: bool, unready: Option<Duration>, failback: Option<Duration>) -> Option<Reason> {
    let is_granted = request.is_some_and(|request| matches!(request.fate, Fate::Granted(_)));
    let by_rank = [
        (is_granted, Reason::Handover),
        (rolls_out, Reason::RolledOut),
        (unready == Some(Duration::ZERO), Reason::Unready),
        (failback == Some(Duration::ZERO), Reason::Failback),
    ];
    by_rank.into_iter().find(|(wanted, _)| *wanted).map(|(_, reason)| reason)
}

/// Whether a holder that was `asked` to hand over is not to be asked again for this reason.
pub fn is_under_way(asked: Option<Reason>, reason: Reason) -> bool {
    asked.is_some_and(|asked| rank(asked) <= rank(reason))
}

fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::Handover => 0,
        Reason::RolledOut => 1,
        Reason::Unready => 2,
        Reason::Failback => 3,
        Reason::Created
        | Reason::Drain
        | Reason::WorkloadSucceeded
        | Reason::WorkloadFailed
        | Reason::Stopped
        | Reason::LeaseLost
        | Reason::ElectorDied => 4,
    }
}

impl Stage<'_> {
    fn ask(&self, reason: Reason, observed: &Observed, request: Option<&Request>) -> Handover {
        let tenure = self.identity.as_str().rsplit('_').next().unwrap_or_default();
        let id = match (reason, request) {
            (Reason::Handover, Some(request)) => request.text.clone(),
            (Reason::RolledOut, _) => format!("{}-{tenure}", observed.template_hash),
            (reason, _) => format!("{reason:?}-{tenure}"),
        };
        Handover { id, holder: self.identity.clone(), reason }
    }
}

/// The line in which they take over, so that one write is enough and nobody waits for another's turn; but the line of a handover that is
/// under way stays.
fn succession(observed: &Observed, stage: &Stage<'_>, handover: Option<&Handover>, request: Option<&Request>) -> Option<Vec<String>> {
    let is_settled = handover.is_none() && (stage.asked.is_some() || stage.standbys.is_empty());
    if is_settled {
        return None;
    }
    let mut line: Vec<_> = stage.standbys.iter().filter(|standby| handover.is_none_or(|wish| follows(observed, wish, standby))).collect();
    if let (Some(_), Some(Request { fate: Fate::Granted(first), .. })) = (handover, request) {
        line.sort_by_key(|standby| standby.uid != *first);
    }
    Some(line.into_iter().map(|standby| standby.uid.clone()).collect())
}

/// Whom a rollout has left of the old template is none of its successors.
fn follows(observed: &Observed, wish: &Handover, standby: &Candidate) -> bool {
    wish.reason != Reason::RolledOut || !is_old(observed, standby)
}

/// From now until a holder that is not ready is asked; none where it is ready, or where it is kept.
///
/// Not again soon after one that was asked for this reason: two bad pods must not play tennis.
fn unready_due(job: &SingletonJob, stage: &Stage<'_>, now: Timestamp) -> Option<Duration> {
    let policy = &job.spec.takeover.unready_holder;
    if policy.policy == UnreadyPolicy::Keep || !is_service(job) {
        return None;
    }
    let patience = seconds(policy.after_seconds);
    let since = stage.holder.unready_since?.max(stage.acquired);
    let damping = last_unready(job, stage).map_or(Duration::ZERO, |last| left(last, patience + REST, now));
    Some(left(since, patience, now).max(damping))
}

/// When the Lease last changed hands because the holder was not ready; the change that this tenure began with may not be in status yet.
fn last_unready(job: &SingletonJob, stage: &Stage<'_>) -> Option<Timestamp> {
    let takeovers = job.status.iter().flat_map(|status| &status.takeovers);
    let told =
        takeovers.filter(|takeover| takeover.reason == TakeoverReason::Unready).filter_map(|takeover| takeover.acquire_time.as_ref());
    let this = (stage.began == Some(Reason::Unready)).then_some(stage.acquired);
    told.map(|time| time.0).max().max(this)
}

/// From now until a holder is asked to give way to a better placed standby; none where there is no such standby, or the holder is where
/// somebody wanted it to be. Not while a template is being rolled out: that changes hands anyway.
fn failback_due(job: &SingletonJob, observed: &Observed, stage: &Stage<'_>, now: Timestamp) -> Option<Duration> {
    let settled = candidates::alive(observed).all(|candidate| !is_old(observed, candidate));
    let wanted = job.spec.takeover.failback == Failback::WhenAvailable && is_service(job) && stage.began != Some(Reason::Handover);
    if !wanted || !settled {
        return None;
    }
    let best = score(job, observed, stage.standbys.first()?)?;
    let rest = if stage.began == Some(Reason::Unready) { LONG_REST } else { REST };
    (best > score(job, observed, stage.holder)?).then(|| left(stage.acquired, rest, now))
}
