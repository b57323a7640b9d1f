//! Decides which holder hands over, and to which standby. No other module decides about voluntary takeovers.
//!
//! The reasons rank in this order: a request, a new template, a pod that is not ready, a preferred node.
//! There is at most one handover at a time, and none without a ready successor. A handover under way gives
//! way only to a higher-ranking one for the same holder, because an older agent may not understand the first
//! reason.

pub mod request;
#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "json! reads best where it is used")]
mod tests;

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::Candidate;
use super::time::{left, seconds};
use super::{candidates, preference, trial};
use crate::api::SingletonJob;
use crate::api::status::TakeoverReason;
use crate::api::takeover::{Failback, UnreadyPolicy};
use crate::lease::annotations::{Handover, Reason};
use crate::lease::identity::Identity;
use request::{HandoverAnswer, HandoverRequest};

/// How long a holder is left in peace after it took over, before it hands back to a better place.
const REST: Duration = Duration::from_secs(60);
/// The same, where the one before was not ready: the better place may be the one that it was in. As long as a
/// workload has to run until earlier failures are forgiven.
const LONG_REST: Duration = Duration::from_secs(600);

/// What the controller asks of the holder and its successors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The request to the holder. `None` if the controller asks for no new handover.
    pub handover: Option<Handover>,
    /// Pod uids in the order in which they should take over. `None` keeps what the Lease says.
    pub succession: Option<Vec<String>>,
    /// What the controller does about a handover request.
    pub request: Option<HandoverRequest>,
    /// The hash of the template from which the Lease was handed back, or is to be by `handover`. It stays for
    /// as long as that template is wanted.
    pub handed_back: Option<String>,
    /// How long until the next decision is due.
    pub look: Option<Duration>,
}

/// A holder that the controller can ask, and the standbys that could follow it.
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
    /// Whether the workload of the new template is handed back from when it is not ready in time.
    hands_back: bool,
}

impl<'a> Stage<'a> {
    /// `is_rejected` says that the wanted template is not to be tried again.
    fn of(job: &SingletonJob, observed: &'a Observed, is_rejected: bool) -> Option<Self> {
        let identity = observed.holder()?;
        let holder = observed.holder_pod().filter(|pod| pod.is_alive())?;
        let record = &observed.lease.as_ref()?.record;
        let annotations = &record.annotations;
        let hands_back = !is_rejected && hands_back(job, observed);
        Some(Self {
            identity,
            holder,
            hands_back,
            standbys: standbys(job, observed, holder, hands_back || is_rejected),
            acquired: record.acquire_time?,
            began: annotations.released.as_ref().map(|released| released.reason),
            asked: annotations
                .handover
                .as_ref()
                .filter(|asked| asked.holder == *identity)
                .map(|asked| asked.reason),
        })
    }
}

/// Whether a holder of the new template is on trial that would be handed back from.
fn hands_back(job: &SingletonJob, observed: &Observed) -> bool {
    let wanted = job.spec.takeover.unready_holder.policy == UnreadyPolicy::HandOver;
    wanted && job.spec.is_service() && trial::is_on_trial(observed)
}

/// Of the wanted template before others, or after them where `prefers_old`; on a better node before others;
/// of equals, the one that has not held for longest, and then the older one.
fn standbys<'a>(
    job: &SingletonJob,
    observed: &'a Observed,
    holder: &Candidate,
    prefers_old: bool,
) -> Vec<&'a Candidate> {
    let able = candidates::alive(observed)
        .filter(|candidate| candidate.can_take_over && candidate.uid != holder.uid);
    let mut standbys: Vec<_> = able.collect();
    let better = |standby: &&Candidate| {
        (is_old(observed, standby) != prefers_old, Reverse(score(job, observed, standby)))
    };
    standbys.sort_by_key(|standby| (better(standby), last_turn(observed, standby), standby.number));
    standbys
}

/// The place of its last tenure among those of the run that the Lease remembers; `None`, which comes first,
/// if it had none.
fn last_turn(observed: &Observed, candidate: &Candidate) -> Option<usize> {
    let progress = observed.lease.as_ref()?.record.annotations.progress.as_ref()?;
    progress.tenants.iter().rposition(|tenant| tenant.uid == candidate.uid)
}

fn is_old(observed: &Observed, candidate: &Candidate) -> bool {
    !observed.is_current(candidate)
}

/// How good a place the candidate is in; none where its node is not known.
fn score(job: &SingletonJob, observed: &Observed, candidate: &Candidate) -> Option<i32> {
    let node = candidate.node.as_ref()?;
    Some(preference::score(&job.spec.takeover.preferred_nodes, node, observed.nodes.get(node)?))
}

/// Chooses; `rolls_out` says that everything is ready for the holder of an old template to go.
pub fn choose(job: &SingletonJob, observed: &Observed, rolls_out: bool, now: Timestamp) -> Choice {
    let is_rejected = trial::is_rejected(job, observed);
    let stage = Stage::of(job, observed, is_rejected);
    let request = request::settle(job, observed, stage.as_ref(), now);
    let waits = match &request {
        Some(HandoverRequest { answer: HandoverAnswer::Waits { left, .. }, .. }) => Some(*left),
        Some(_) | None => None,
    };
    let handed_back = |is: bool| is.then(|| observed.template_hash.clone());
    let Some(stage) = stage else {
        return Choice { request, look: waits, handed_back: handed_back(is_rejected), ..Choice::default() };
    };
    let rollout = rolls_out.then(|| trial::rest(job, observed, now));
    let unready = unready_due(job, observed, &stage, now);
    let failback = failback_due(job, observed, &stage, now);
    let reason =
        if stage.standbys.is_empty() { None } else { reason(request.as_ref(), rollout, unready, failback) };
    let handover = reason
        .map(|reason| stage.ask(reason, observed, request.as_ref()))
        .filter(|asked| !is_under_way(stage.asked, asked.reason));
    let is_handing_back = stage.hands_back
        && stage.goes_back(observed)
        && handover.as_ref().is_some_and(|asked| asked.reason == Reason::Unready);
    Choice {
        succession: succession(observed, &stage, handover.as_ref(), request.as_ref()),
        handed_back: handed_back(is_rejected || is_handing_back),
        handover,
        look: [waits, rollout, unready, failback].into_iter().flatten().filter(|due| !due.is_zero()).min(),
        request,
    }
}

fn reason(
    request: Option<&HandoverRequest>,
    rollout: Option<Duration>,
    unready: Option<Duration>,
    failback: Option<Duration>,
) -> Option<Reason> {
    let is_granted = request.is_some_and(|request| matches!(request.answer, HandoverAnswer::Granted(_)));
    let by_rank = [
        (is_granted, Reason::Handover),
        (rollout == Some(Duration::ZERO), Reason::RolledOut),
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
    /// Whether the holder is of the wanted template and the first in line is not.
    fn goes_back(&self, observed: &Observed) -> bool {
        !is_old(observed, self.holder)
            && self.standbys.first().is_some_and(|standby| is_old(observed, standby))
    }

    fn ask(&self, reason: Reason, observed: &Observed, request: Option<&HandoverRequest>) -> Handover {
        let tenure = self.identity.as_str().rsplit('_').next().unwrap_or_default();
        let id = match (reason, request) {
            (Reason::Handover, Some(request)) => request.text.clone(),
            (Reason::RolledOut, _) => format!("{}-{tenure}", observed.template_hash),
            (reason, _) => format!("{reason:?}-{tenure}"),
        };
        Handover { id, holder: self.identity.clone(), reason }
    }
}

/// The line in which they take over, so that one write is enough and no candidate waits for another's turn;
/// but the line of a handover that is under way stays.
fn succession(
    observed: &Observed,
    stage: &Stage<'_>,
    handover: Option<&Handover>,
    request: Option<&HandoverRequest>,
) -> Option<Vec<String>> {
    let is_settled = handover.is_none() && (stage.asked.is_some() || stage.standbys.is_empty());
    if is_settled {
        return None;
    }
    let mut line: Vec<_> = stage
        .standbys
        .iter()
        .filter(|standby| handover.is_none_or(|asked| follows(observed, asked, standby)))
        .collect();
    if let (Some(_), Some(HandoverRequest { answer: HandoverAnswer::Granted(first), .. })) =
        (handover, request)
    {
        line.sort_by_key(|standby| standby.uid != *first);
    }
    Some(line.into_iter().map(|standby| standby.uid.clone()).collect())
}

/// Whom a rollout has left of the old template is none of its successors.
fn follows(observed: &Observed, asked: &Handover, standby: &Candidate) -> bool {
    asked.reason != Reason::RolledOut || !is_old(observed, standby)
}

/// From now until a holder that is not ready is asked; none where it is ready, or where it is kept.
///
/// Not again soon after one that was asked for this reason: two bad pods must not play tennis. To a pod of
/// the template before only once.
fn unready_due(
    job: &SingletonJob,
    observed: &Observed,
    stage: &Stage<'_>,
    now: Timestamp,
) -> Option<Duration> {
    let policy = &job.spec.takeover.unready_holder;
    if policy.policy == UnreadyPolicy::Keep || !job.spec.is_service() {
        return None;
    }
    let patience = seconds(policy.after_seconds);
    if stage.goes_back(observed) && !stage.hands_back {
        return None;
    }
    let since = stage.holder.unready_since?.max(stage.acquired);
    let damping = last_unready(job, stage).map_or(Duration::ZERO, |last| left(last, patience + REST, now));
    Some(left(since, patience, now).max(damping))
}

/// When the Lease last changed hands because the holder was not ready; the change that this tenure began with
/// may not be in status yet.
fn last_unready(job: &SingletonJob, stage: &Stage<'_>) -> Option<Timestamp> {
    let takeovers = job.status.iter().flat_map(|status| &status.takeovers);
    let told = takeovers
        .filter(|takeover| takeover.reason == TakeoverReason::Unready)
        .filter_map(|takeover| takeover.acquire_time.as_ref());
    let this = (stage.began == Some(Reason::Unready)).then_some(stage.acquired);
    told.map(|time| time.0).max().max(this)
}

/// From now until a holder is asked to give way to a better placed standby; none where there is no such
/// standby, or the holder is where a user wanted it to be. Not while a template is being rolled out: that
/// changes hands anyway.
fn failback_due(
    job: &SingletonJob,
    observed: &Observed,
    stage: &Stage<'_>,
    now: Timestamp,
) -> Option<Duration> {
    let settled = candidates::alive(observed).all(|candidate| !is_old(observed, candidate));
    let wanted = job.spec.takeover.failback == Failback::WhenAvailable
        && job.spec.is_service()
        && stage.began != Some(Reason::Handover);
    if !wanted || !settled {
        return None;
    }
    let best = score(job, observed, stage.standbys.first()?)?;
    let rest = if stage.began == Some(Reason::Unready) { LONG_REST } else { REST };
    (best > score(job, observed, stage.holder)?).then(|| left(stage.acquired, rest, now))
}
