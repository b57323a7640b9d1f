//! Which pods come and go.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use super::super::observe::Observed;
use super::super::observe::candidate::{Candidate, PodRef};
use super::rollout::{self, Step};
use super::run_plan::RunPlan;
use super::{candidates, retention};
use crate::api::SingletonJob;
use crate::api::schedule::CandidatesPolicy;

/// Decides which pods the controller creates and deletes. `surplus` is how many candidates it wants beyond
/// `spec.replicas`.
pub fn pods(
    job: &SingletonJob,
    observed: &Observed,
    run: &RunPlan,
    time_to_live: Option<Duration>,
    surplus: usize,
    now: Timestamp,
) -> Step {
    if run.schedule.is_none() && time_to_live == Some(Duration::ZERO) {
        return Step {
            delete: observed.candidates.iter().map(Candidate::pod_ref).collect(),
            ..Step::default()
        };
    }
    let mut delete = retention::surplus(job, observed, run, now);
    if run.is_at_rest() {
        delete.extend(candidates::left_over(observed));
        return Step { delete, ..Step::default() };
    }
    if job.spec.is_stopped() {
        delete.extend(candidates::stopped(job, observed));
        return Step { delete, ..Step::default() };
    }
    let stale = stale(job, observed, run);
    let step = rollout::step(job, &without(observed, &stale), surplus);
    delete.extend(stale);
    delete.extend(step.delete);
    Step { delete, ..step }
}

/// Between runs, candidates that are not for the next one.
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

/// As it is when these have left.
fn without<'a>(observed: &'a Observed, leaving: &[PodRef]) -> Cow<'a, Observed> {
    if leaving.is_empty() {
        return Cow::Borrowed(observed);
    }
    let stays = |candidate: &&Candidate| !leaving.iter().any(|pod| pod.uid == candidate.uid);
    let candidates = observed.candidates.iter().filter(stays).cloned().collect();
    Cow::Owned(Observed { candidates, ..observed.clone() })
}
