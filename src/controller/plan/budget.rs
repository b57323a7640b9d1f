//! Decides whether drains wait for a standby.

use super::super::observe::Observed;
use super::super::observe::candidate::Candidate;
use super::{candidates, runs};
use crate::api::{SingletonJob, StandbyReadiness};

/// How many ready pods of the job a drain must leave. `None` if the job should have no PodDisruptionBudget.
///
/// A single candidate has no pod to hand over to, and a budget would keep its node from ever being drained.
/// If two budgets select one pod, the API server refuses every eviction, so the user's budget takes
/// precedence.
pub fn min_available(job: &SingletonJob, observed: &Observed) -> Option<i32> {
    // Between the runs of a schedule it costs nothing to have one, and two writes a run not to.
    let goes_on = !job.spec.is_stopped() && (job.spec.schedule.is_some() || !runs::is_over(job, observed));
    let is_wanted = goes_on && job.spec.replicas > 1 && observed.other_budget.is_none();
    is_wanted.then(|| match job.spec.standby_readiness {
        StandbyReadiness::Ready => 1,
        // The only ready pod is the holder's: it may go when a standby could follow it.
        StandbyReadiness::NotReady => i32::from(!is_followed(observed)),
    })
}

/// Whether a candidate on another node than the holder could take over.
fn is_followed(observed: &Observed) -> bool {
    let holder = observed.holder_pod().and_then(|holder| holder.node.as_ref());
    let is_elsewhere = |standby: &Candidate| {
        standby.can_take_over && standby.node.is_some() && standby.node.as_ref() != holder
    };
    holder.is_some() && candidates::alive(observed).any(is_elsewhere)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{job, pod, settled, there};
    use super::*;

    fn on(node: &str, candidate: Candidate) -> Candidate {
        Candidate { node: Some(node.to_owned()), ..candidate }
    }

    fn standby(number: i64, node: &str) -> Candidate {
        on(node, Candidate { ready: false, ..pod(number, true) })
    }

    #[test]
    fn where_standbys_are_not_ready_the_holder_may_go_if_one_is_able() {
        let holder = || on("a", pod(1, true));
        let table = [
            ("a standby elsewhere", Some(1), vec![holder(), standby(2, "b")], 0),
            ("one of two elsewhere", Some(1), vec![holder(), standby(2, "a"), standby(3, "b")], 0),
            ("drained with it", Some(1), vec![holder(), standby(2, "a")], 1),
            ("not able yet", Some(1), vec![holder(), on("b", pod(2, false))], 1),
            ("no standby", Some(1), vec![holder()], 1),
            ("no holder", None, vec![standby(1, "a"), standby(2, "b")], 1),
        ];
        let service = |readiness: &str| {
            job(json!({"completionPolicy": "Never", "standbyReadiness": readiness}), settled())
        };
        for (case, holds, candidates, expected) in table {
            let observed = there(holds, candidates);
            assert_eq!(min_available(&service("NotReady"), &observed), Some(expected), "{case}");
            assert_eq!(min_available(&service("Ready"), &observed), Some(1), "{case}, ready");
        }
    }
}
