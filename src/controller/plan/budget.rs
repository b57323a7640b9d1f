//! Whether drains should wait for a standby.

use super::super::observe::Observed;
use super::runs;
use crate::api::SingletonJob;

/// Whether the job should have a PodDisruptionBudget. A single candidate has nobody to hand over to, and a budget would keep its node from ever
/// being drained; of two budgets for one pod, the API server obeys neither and refuses the eviction: the user's goes first.
pub fn is_wanted(job: &SingletonJob, observed: &Observed) -> bool {
    // Between the runs of a schedule it costs nothing to have one, and two writes a run not to.
    let goes_on = !job.spec.is_stopped() && (job.spec.schedule.is_some() || !runs::is_over(job, observed));
    goes_on && job.spec.replicas > 1 && observed.other_budget.is_none()
}
