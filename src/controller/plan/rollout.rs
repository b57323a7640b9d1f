//! From one template to the next, and from one number of candidates to another, without losing the standby.
//!
//! A new candidate is made before an old one goes, one at a time, and an old standby goes only when the new one could take over. Of a service,
//! the holder hands over once, when the others are new and could; of a one-shot, the running attempt is left alone. A template that cannot start
//! stops all this at its first pod.

use super::super::observe::Observed;
use super::super::observe::candidate::Candidate;
use super::candidates::{alive, has_made_its_attempt, name};
use super::is_service;
use crate::api::SingletonJob;

/// One step towards the wanted candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How many to make.
    pub create: usize,
    /// Which to delete.
    pub delete: Vec<(String, String)>,
    /// Whether everything is ready for the holder of an old template to hand over.
    pub rolls_out: bool,
}

/// The candidates that take part, sorted out.
struct Sorted<'a> {
    holder: Option<&'a Candidate>,
    holder_is_old: bool,
    /// How many have made their attempt, and will be replaced when the kubelet says that they ended. They are neither standbys nor in the way.
    spent: usize,
    new: Vec<&'a Candidate>,
    old: Vec<&'a Candidate>,
}

impl<'a> Sorted<'a> {
    fn of(job: &SingletonJob, observed: &'a Observed) -> Self {
        let is_new = |candidate: &&Candidate| candidate.template_hash.as_deref() == Some(&observed.template_hash);
        let holder = alive(observed).find(|candidate| Some(candidate.uid.as_str()) == observed.holder_uid());
        let is_holder = |candidate: &&Candidate| holder.is_some_and(|holder| holder.uid == candidate.uid);
        let stays = |candidate: &&Candidate| is_holder(candidate) || !has_made_its_attempt(job, candidate);
        let (taking_part, spent): (Vec<_>, Vec<_>) = alive(observed).partition(stays);
        let (new, old) = taking_part.into_iter().partition(is_new);
        Self { holder, holder_is_old: holder.as_ref().is_some_and(|holder| !is_new(holder)), spent: spent.len(), new, old }
    }

    fn is_standby(&self, candidate: &Candidate) -> bool {
        self.holder.is_none_or(|holder| holder.uid != candidate.uid)
    }

    /// Whether it does what it is there for: a holder whose workload is ready, or a standby that could take over.
    fn serves(&self, candidate: &Candidate) -> bool {
        if self.is_standby(candidate) { candidate.able } else { candidate.ready }
    }

    /// Who goes first: whoever could not take over, then the youngest.
    fn dispensable(&self, list: &[&'a Candidate]) -> Vec<&'a Candidate> {
        let mut standbys: Vec<_> = list.iter().copied().filter(|candidate| self.is_standby(candidate)).collect();
        standbys.sort_by_key(|candidate| (candidate.able, std::cmp::Reverse(candidate.number)));
        standbys
    }
}

/// Decides the next step.
pub fn step(job: &SingletonJob, observed: &Observed) -> Step {
    let replicas = usize::try_from(job.spec.replicas).unwrap_or(0);
    let sorted = Sorted::of(job, observed);
    let target = target(job, &sorted, replicas);
    if sorted.old.is_empty() {
        let surplus = sorted.new.len().saturating_sub(replicas);
        let delete = sorted.dispensable(&sorted.new).into_iter().take(surplus).map(name).collect();
        return Step { create: replicas.saturating_sub(sorted.new.len() + sorted.spent), delete, rolls_out: false };
    }
    Step {
        create: create(&sorted, target, replicas),
        delete: delete(&sorted, target, replicas),
        rolls_out: rolls_out(job, &sorted, target),
    }
}

/// How many new candidates there should be. The holder's place is taken by a new one only after the holder has handed over; a single
/// candidate needs a successor beside it for that.
fn target(job: &SingletonJob, sorted: &Sorted<'_>, replicas: usize) -> usize {
    match (sorted.holder_is_old, is_service(job)) {
        (false, _) => replicas,
        (true, true) => replicas.saturating_sub(1).max(1),
        (true, false) => replicas.saturating_sub(1),
    }
}

fn create(sorted: &Sorted<'_>, target: usize, replicas: usize) -> usize {
    let all = sorted.new.len() + sorted.old.len() + sorted.spent;
    // What is missing altogether is made at once; beyond that, one, when the one before serves.
    let missing = replicas.saturating_sub(all).min(target.saturating_sub(sorted.new.len()));
    let settled = sorted.new.iter().all(|candidate| sorted.serves(candidate));
    let one_more = settled && sorted.new.len() < target && all < replicas + 1;
    missing.max(usize::from(one_more))
}

fn delete(sorted: &Sorted<'_>, target: usize, replicas: usize) -> Vec<(String, String)> {
    let serving = sorted.new.iter().filter(|candidate| sorted.serves(candidate)).count();
    let too_many_new = sorted.new.len().saturating_sub(target);
    // A standby that could not take over protects nobody: it does not wait for its successor.
    let (unable, able): (Vec<_>, Vec<_>) = sorted.dispensable(&sorted.old).into_iter().partition(|candidate| !candidate.able);
    let excess = (serving + sorted.old.len()).saturating_sub(replicas).saturating_sub(unable.len());
    let old = unable.into_iter().chain(able.into_iter().take(excess));
    old.chain(sorted.dispensable(&sorted.new).into_iter().take(too_many_new)).map(name).collect()
}

fn rolls_out(job: &SingletonJob, sorted: &Sorted<'_>, target: usize) -> bool {
    let standbys_are_new = sorted.old.len() == 1;
    let serving = sorted.new.iter().filter(|candidate| sorted.serves(candidate)).count();
    let hands_over = sorted.holder_is_old && is_service(job);
    hands_over && standbys_are_new && serving >= target && serving == sorted.new.len()
}
