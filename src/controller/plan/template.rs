//! Decides whether the API server validates the template.
//!
//! The schema of a SingletonJob does not know all that makes a pod valid, and candidates do not show the
//! template's own probes. The controller therefore has the API server validate the template without creating
//! a pod. It does so after a change of the spec, and before it creates the first pod of a template.

use super::super::observe::Observed;
use super::runs;
use crate::api::SingletonJob;
use crate::api::conditions::{find_condition, reasons, types};

/// Whether the API server should validate the wanted template. `makes_pods` says that the controller is about
/// to create a pod from it.
pub fn is_in_doubt(job: &SingletonJob, observed: &Observed, makes_pods: bool) -> bool {
    let is_known = observed.candidates.iter().any(|candidate| observed.is_current(candidate));
    let is_done = job.spec.schedule.is_none() && runs::is_over(job, observed);
    !is_known && !is_done && (makes_pods || is_new(job) || is_refused(job))
}

fn is_new(job: &SingletonJob) -> bool {
    job.status.as_ref().and_then(|status| status.observed_generation) != job.metadata.generation
}

/// Whether status says that the API server refused the template.
pub fn is_refused(job: &SingletonJob) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find_condition(conditions, types::STALLED)
        .is_some_and(|stalled| stalled.reason == reasons::INVALID_TEMPLATE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{job, old, pod, there};
    use super::*;

    fn seen(generation: i64, observed: i64, reason: &str) -> SingletonJob {
        let stalled = json!({"type": "Stalled", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let mut job = job(
            json!({"completionPolicy": "Never"}),
            json!({"observedGeneration": observed, "conditions": [stalled]}),
        );
        job.metadata.generation = Some(generation);
        job
    }

    #[test]
    fn a_template_is_validated_once_for_each_spec_until_a_pod_is_made_from_it() {
        let before = there(Some(1), vec![old(1), old(2)]);
        assert!(is_in_doubt(&seen(2, 1, "Failed"), &before, false), "a new spec");
        assert!(!is_in_doubt(&seen(2, 2, "Failed"), &before, false), "it was looked at");
        assert!(is_in_doubt(&seen(2, 2, "Failed"), &before, true), "its first pod is to be made");
        assert!(is_in_doubt(&seen(2, 2, "InvalidTemplate"), &before, false), "it was refused");
        let made = there(Some(1), vec![old(1), pod(2, false)]);
        assert!(!is_in_doubt(&seen(2, 1, "InvalidTemplate"), &made, true), "a pod was made from it");
    }
}
