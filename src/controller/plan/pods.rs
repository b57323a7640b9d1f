//! Decides which pods come and go.

use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::{Candidate, PodRef};
use super::candidates::{NewPods, RoleLabel};
use super::rollout::{self, RolloutStep};
use super::run_plan::RunPlan;
use super::{candidates, retention};
use crate::api::SingletonJob;
use crate::api::schedule::CandidatesPolicy;

/// Which pods the controller creates, changes and deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPlan {
    /// Candidates to make.
    pub create: NewPods,
    /// Pods to delete.
    pub delete: Vec<PodRef>,
    /// Pods whose role label is wrong.
    pub label: Vec<RoleLabel>,
    /// Ended pods that should stay when their node is lost.
    pub keep: Vec<PodRef>,
    /// Ended pods whose other containers should end too.
    pub stop_sidecars: Vec<PodRef>,
    /// Whether everything is ready for the holder of an old template to hand over.
    pub rolls_out: bool,
    /// How long until a pod may be created or has to be deleted. `None` if nothing is due.
    pub look: Option<Duration>,
}

/// Decides about all pods of `job`. `surplus` is how many candidates the controller wants beyond
/// `spec.replicas`.
pub fn decide(
    job: &SingletonJob,
    observed: &Observed,
    run: &RunPlan,
    surplus: usize,
    now: Timestamp,
) -> PodPlan {
    let pace = candidates::pace(observed, now);
    let time_to_live = retention::time_to_live(job, observed, now);
    let has_expired = run.schedule.is_none() && time_to_live == Some(Duration::ZERO);
    let RolloutStep { create, delete, rolls_out } = if has_expired {
        only_deletes(observed.candidates.iter().map(Candidate::pod_ref).collect())
    } else {
        step(job, observed, run, surplus, now)
    };
    let count = if pace.is_zero() { create } else { 0 };
    PodPlan {
        create: NewPods { first: candidates::next_number(job, observed), count },
        label: candidates::labels(observed),
        keep: retention::fleeting(observed, &delete),
        stop_sidecars: retention::with_running_sidecars(observed, &delete),
        delete,
        rolls_out,
        look: [Some(pace), time_to_live].into_iter().flatten().filter(|left| !left.is_zero()).min(),
    }
}

fn step(
    job: &SingletonJob,
    observed: &Observed,
    run: &RunPlan,
    surplus: usize,
    now: Timestamp,
) -> RolloutStep {
    let ended = retention::surplus(job, observed, run, now);
    if run.is_at_rest() {
        return only_deletes([ended, candidates::left_over(observed)].concat());
    }
    if job.spec.is_stopped() {
        return only_deletes([ended, candidates::stopped(job, observed)].concat());
    }
    let stale = stale(job, observed, run);
    let step = rollout::step(job, observed, &stale, surplus);
    RolloutStep { delete: [ended, stale, step.delete].concat(), ..step }
}

fn only_deletes(delete: Vec<PodRef>) -> RolloutStep {
    RolloutStep { delete, ..RolloutStep::default() }
}

/// The candidates that the controller deletes between two runs, because they are not for the next one.
fn stale(job: &SingletonJob, observed: &Observed, run: &RunPlan) -> Vec<PodRef> {
    let as_of_the_tick = job
        .spec
        .schedule
        .as_ref()
        .is_some_and(|schedule| schedule.candidates == CandidatesPolicy::BeforeTick);
    match run.made_for() {
        Some(next) if as_of_the_tick && !run.goes_on => candidates::stale(observed, next),
        _ => Vec::new(),
    }
}
