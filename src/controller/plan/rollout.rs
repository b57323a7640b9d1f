//! Rolls out a new template or another number of candidates, without losing the standby.
//!
//! The controller creates a new candidate before it deletes an old one, one at a time. It deletes an old
//! standby only when the new one could take over. The holder of a service hands over once, when all other
//! candidates are new and could take over. The running attempt of a one-shot goes on. A template that cannot
//! start stops the rollout at its first pod. The pod that handed over stays until the workload of the new
//! template is ready.

use super::super::observe::Observed;
use super::super::observe::candidate::{Candidate, PodRef};
use super::candidates::{alive, has_made_its_attempt};
use super::{template, trial};
use crate::api::SingletonJob;

/// One step towards the wanted candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutStep {
    /// How many to make.
    pub create: usize,
    /// Which to delete.
    pub delete: Vec<PodRef>,
    /// Whether everything is ready for the holder of an old template to hand over.
    pub rolls_out: bool,
}

/// The candidates that take part, sorted out.
struct Sorted<'a> {
    observed: &'a Observed,
    holder: Option<&'a Candidate>,
    holder_is_old: bool,
    /// How many have made their attempt, and will be replaced when the kubelet says that they ended. They are
    /// neither standbys nor in the way.
    spent: usize,
    new: Vec<&'a Candidate>,
    old: Vec<&'a Candidate>,
}

impl<'a> Sorted<'a> {
    fn of(job: &SingletonJob, observed: &'a Observed, leaving: &[PodRef]) -> Self {
        let stays = |candidate: &&Candidate| !leaving.iter().any(|pod| pod.uid == candidate.uid);
        let staying = || alive(observed).filter(stays);
        let holder = staying().find(|candidate| observed.is_holder(candidate));
        let takes_part =
            |candidate: &&Candidate| observed.is_holder(candidate) || !has_made_its_attempt(job, candidate);
        let (taking_part, spent): (Vec<_>, Vec<_>) = staying().partition(takes_part);
        let (new, old) = taking_part.into_iter().partition(|candidate| observed.is_current(candidate));
        Self {
            observed,
            holder,
            holder_is_old: holder.is_some_and(|holder| !observed.is_current(holder)),
            spent: spent.len(),
            new,
            old,
        }
    }

    fn is_standby(&self, candidate: &Candidate) -> bool {
        !self.observed.is_holder(candidate)
    }

    /// Whether nothing is tried out: the holder is of the old template, or its workload is ready.
    fn is_settled(&self) -> bool {
        self.holder_is_old || self.holder.is_some_and(|holder| holder.ready)
    }

    /// The standbys of `list` in the order in which the controller deletes them: one that could not take
    /// over, then one that shares its node, then the youngest.
    fn dispensable(&self, list: &[&'a Candidate]) -> Vec<&'a Candidate> {
        let mut standbys: Vec<_> =
            list.iter().copied().filter(|candidate| self.is_standby(candidate)).collect();
        standbys.sort_by_key(|candidate| {
            (candidate.can_take_over, self.is_alone(candidate), std::cmp::Reverse(candidate.number))
        });
        standbys
    }

    /// Whether it is the only one on its node.
    fn is_alone(&self, candidate: &Candidate) -> bool {
        let others = self.new.iter().chain(&self.old).filter(|other| other.uid != candidate.uid);
        candidate.node.is_some() && others.into_iter().all(|other| other.node != candidate.node)
    }
}

/// Decides the next step, as if the `leaving` pods had left. While no rollout is under way, there may be
/// `more` candidates than wanted.
pub fn step(job: &SingletonJob, observed: &Observed, leaving: &[PodRef], more: usize) -> RolloutStep {
    let replicas = usize::try_from(job.spec.replicas).unwrap_or(0);
    let sorted = Sorted::of(job, observed, leaving);
    if sorted.old.is_empty() {
        return scale(&sorted, replicas + more);
    }
    let target = target(job, &sorted, replicas);
    RolloutStep {
        create: create(&sorted, target, replicas),
        delete: delete(job, &sorted, target, replicas),
        rolls_out: rolls_out(job, &sorted, target) && !trial::is_rejected(job, observed),
    }
}

/// Creates or deletes candidates of the only template until there are `replicas`.
fn scale(sorted: &Sorted<'_>, replicas: usize) -> RolloutStep {
    let surplus = sorted.new.len().saturating_sub(replicas);
    let dispensable = sorted.dispensable(&sorted.new).into_iter();
    RolloutStep {
        create: replicas.saturating_sub(sorted.new.len() + sorted.spent),
        delete: dispensable.take(surplus).map(Candidate::pod_ref).collect(),
        rolls_out: false,
    }
}

/// How many new candidates there should be. The holder's place is taken by a new one only after the holder
/// has handed over; a single candidate needs a successor beside it for that.
fn target(job: &SingletonJob, sorted: &Sorted<'_>, replicas: usize) -> usize {
    match (sorted.holder_is_old, job.spec.is_service()) {
        (false, _) => replicas,
        (true, true) => replicas.saturating_sub(1).max(1),
        (true, false) => replicas.saturating_sub(1),
    }
}

fn create(sorted: &Sorted<'_>, target: usize, replicas: usize) -> usize {
    let all = sorted.new.len() + sorted.old.len() + sorted.spent;
    // What is missing altogether is made at once; beyond that, one, when the one before serves.
    let missing = replicas.saturating_sub(all).min(target.saturating_sub(sorted.new.len()));
    let settled = sorted.new.iter().all(|candidate| sorted.observed.serves(candidate));
    let one_more = settled && sorted.new.len() < target && all < replicas + 1;
    missing.max(usize::from(one_more))
}

fn delete(job: &SingletonJob, sorted: &Sorted<'_>, target: usize, replicas: usize) -> Vec<PodRef> {
    let serving = sorted.new.iter().filter(|candidate| sorted.observed.serves(candidate)).count();
    let too_many_new = sorted.new.len().saturating_sub(target);
    // The controller deletes a standby that could not take over before its successor is there. It keeps the
    // pod that has handed over, which is about to stand by, and all of them where no successor can be made.
    let has_successor = !template::is_refused(job);
    let is_unable = |candidate: &&Candidate| {
        !candidate.can_take_over && has_successor && (sorted.is_settled() || !candidate.has_held)
    };
    let (unable, able): (Vec<_>, Vec<_>) = sorted.dispensable(&sorted.old).into_iter().partition(is_unable);
    let excess = (serving + sorted.old.len()).saturating_sub(replicas).saturating_sub(unable.len());
    let old = unable.into_iter().chain(able.into_iter().take(excess));
    old.chain(sorted.dispensable(&sorted.new).into_iter().take(too_many_new))
        .map(Candidate::pod_ref)
        .collect()
}

fn rolls_out(job: &SingletonJob, sorted: &Sorted<'_>, target: usize) -> bool {
    let standbys_are_new = sorted.old.len() == 1;
    let serving = sorted.new.iter().filter(|candidate| sorted.observed.serves(candidate)).count();
    let hands_over = sorted.holder_is_old && job.spec.is_service();
    hands_over && standbys_are_new && serving >= target && serving == sorted.new.len()
}
