//! Decides whether the API server validates the template.
//!
//! The schema of a SingletonJob does not know all that makes a pod valid, and candidates do not show the
//! template's own probes. The controller therefore has the API server validate the template without creating
//! a pod. It does so after a change of the spec, and before it creates the first pod of a template.
//!
//! The first pods of a job need no such question if they show all of the template. The API server validates
//! them anyway, and there is no pod that has to stay where it refuses them.

use k8s_openapi::api::core::v1::Container;

use super::super::observe::Observed;
use super::runs;
use crate::api::SingletonJob;
use crate::api::conditions::{find_condition, reasons, types};

/// Whether the API server should validate the wanted template. `makes_pods` says that the controller is about
/// to create a pod from it.
pub fn is_in_doubt(job: &SingletonJob, observed: &Observed, makes_pods: bool) -> bool {
    let is_known = observed.candidates.iter().any(|candidate| observed.is_current(candidate));
    let is_done = job.spec.schedule.is_none() && runs::is_over(job, observed);
    let is_shown = makes_pods && is_shown_by_first_pods(job, observed);
    !is_known && !is_done && !is_shown && (makes_pods || is_new(job) || is_refused(job))
}

/// Whether the pods that are about to be created are the first of the job, and show all of the template. The
/// controller replaces probes and hooks of the workload's container.
fn is_shown_by_first_pods(job: &SingletonJob, observed: &Observed) -> bool {
    let is_replaced = |container: &Container| {
        let probes = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
        container.lifecycle.is_some() || probes.into_iter().any(Option::is_some)
    };
    observed.candidates.is_empty() && !is_refused(job) && !job.spec.workload().is_some_and(is_replaced)
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

    #[test]
    fn the_first_pods_of_a_job_show_its_template_unless_it_has_probes() {
        let probe = json!({"httpGet": {"path": "/", "port": 80}});
        let with = |more: serde_json::Value| {
            let mut container = json!({"name": "main", "command": ["x"]});
            container
                .as_object_mut()
                .expect("an object")
                .extend(more.as_object().expect("an object").clone());
            let template = json!({"spec": {"containers": [container]}});
            job(json!({"completionPolicy": "Never", "template": template}), json!({}))
        };
        let none = there(None, vec![]);
        assert!(!is_in_doubt(&with(json!({})), &none, true), "the API server validates the pods");
        assert!(is_in_doubt(&with(json!({"livenessProbe": probe})), &none, true));
        assert!(is_in_doubt(&with(json!({"lifecycle": {}})), &none, true));
        assert!(is_in_doubt(&seen(2, 2, "InvalidTemplate"), &none, true), "it was refused");
        assert!(is_in_doubt(&with(json!({})), &there(None, vec![old(1)]), true), "an old pod is to stay");
        let mut suspended = with(json!({}));
        suspended.metadata.generation = Some(1);
        assert!(is_in_doubt(&suspended, &none, false), "no pod shows it yet");
    }
}
