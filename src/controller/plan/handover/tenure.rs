//! Describes the tenure that a handover would end, and orders the standbys that could follow it.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::super::super::observe::Observed;
use super::super::super::observe::candidate::Candidate;
use super::super::{candidates, preference, trial};
use crate::api::SingletonJob;
use crate::api::takeover::UnreadyPolicy;
use crate::lease::annotations::Reason;
use crate::lease::identity::Identity;

/// The tenure of a holder that the controller can ask, and the standbys that could follow it.
#[derive(Clone, Debug)]
pub struct CurrentTenure<'a> {
    /// The holder's identity.
    pub(super) identity: &'a Identity,
    /// The holder's pod.
    pub(super) holder: &'a Candidate,
    /// Those that could take over, best first.
    pub(super) standbys: Vec<&'a Candidate>,
    /// When the tenure began.
    pub(super) acquired: Timestamp,
    /// Why the holder before gave the Lease back. `None` if it did not.
    pub(super) began: Option<Reason>,
    /// Why the controller has asked the holder to hand over. `None` if it has not.
    pub(super) asked: Option<Reason>,
    /// Whether the workload of the new template is handed back from when it is not ready in time.
    pub(super) hands_back: bool,
}

impl<'a> CurrentTenure<'a> {
    /// `None` if there is no holder that the controller can ask. `is_rejected` says that the wanted template
    /// is not to be tried again.
    pub(super) fn of(job: &SingletonJob, observed: &'a Observed, is_rejected: bool) -> Option<Self> {
        let identity = observed.holder()?;
        let holder = observed.holder_pod().filter(|pod| pod.is_alive())?;
        let record = &observed.lease.as_ref()?.record;
        let handover = record.annotations.handover.as_ref();
        let hands_back = !is_rejected && hands_back(job, observed);
        Some(Self {
            identity,
            holder,
            hands_back,
            standbys: standbys(job, observed, holder, hands_back || is_rejected),
            acquired: record.acquire_time?,
            began: record.annotations.released.as_ref().map(|released| released.reason),
            asked: handover.filter(|asked| asked.holder == *identity).map(|asked| asked.reason),
        })
    }

    /// Whether the holder is of the wanted template and the first in line is not.
    pub(super) fn goes_back(&self, observed: &Observed) -> bool {
        !is_old(observed, self.holder)
            && self.standbys.first().is_some_and(|standby| is_old(observed, standby))
    }
}

/// Whether a holder of the new template is on trial that would be handed back from.
fn hands_back(job: &SingletonJob, observed: &Observed) -> bool {
    let wanted = job.spec.takeover.unready_holder.policy == UnreadyPolicy::HandOver;
    wanted && job.spec.is_service() && trial::is_on_trial(observed)
}

/// Sorts the standbys, best first. Those of the wanted template come before others, or after them if
/// `prefers_old`. Those on a better node come before others. Of equals, the one that has not held for longest
/// comes first, and then the older one.
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

/// The place of the candidate's last tenure among those of the run that the Lease remembers. `None`, which
/// comes first, if it had none.
fn last_turn(observed: &Observed, candidate: &Candidate) -> Option<usize> {
    let progress = observed.lease.as_ref()?.record.annotations.progress.as_ref()?;
    progress.tenants.iter().rposition(|tenant| tenant.uid == candidate.uid)
}

/// Whether `candidate` is of another template than the wanted one.
pub(super) fn is_old(observed: &Observed, candidate: &Candidate) -> bool {
    !observed.is_current(candidate)
}

/// How much `spec.takeover.preferredNodes` prefers the candidate's node. `None` if the node is not known.
pub(super) fn score(job: &SingletonJob, observed: &Observed, candidate: &Candidate) -> Option<i32> {
    let node = candidate.node.as_ref()?;
    Some(preference::score(&job.spec.takeover.preferred_nodes, node, observed.nodes.get(node)?))
}
