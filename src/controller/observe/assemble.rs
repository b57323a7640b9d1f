//! Compares the child objects of a SingletonJob with its Lease.

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;

use super::children::Children;
use super::lease_observations::LeaseObservations;
use super::observed::{Observed, ObservedLease};
use super::ownership::{self, is_about};
use super::tenures;
use crate::api::SingletonJob;
use crate::controller::api_call::Failure;
use crate::controller::names;
use crate::lease::clock::Moment;
use crate::lease::record::Record;

/// Returns what the controller observes of `job`, apart from the answers to questions that it has yet to ask.
/// A foreign Lease is left out.
///
/// # Errors
/// If the Lease is malformed, so that no candidate can use it either.
pub(super) fn assemble(
    job: &SingletonJob,
    children: Children,
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Result<Observed, Failure> {
    let Children { lease, role, binding, candidates, budgets, nodes, foreign, nobody_there } = children;
    let strange = lease.as_ref().filter(|lease| !is_about(lease, job));
    let foreign = foreign.or_else(|| ownership::foreign(strange, "Lease", &job.name_any()));
    let lease = match lease {
        Some(lease) if foreign.is_none() => Some(observe(lease, job, lease_observations, now)?),
        Some(_) | None => None,
    };
    let record = lease.as_ref().map(|lease| &lease.record);
    Ok(Observed {
        candidates: candidates.into_iter().map(|candidate| tenures::add(candidate, job, record)).collect(),
        lease,
        role,
        binding,
        budget: budgets.own,
        other_budget: budgets.other,
        nodes,
        template_hash: names::template_hash(&job.spec),
        nobody_there,
        foreign,
        room: None,
        holder_pod_state: None,
        claims: None,
    })
}

fn observe(
    object: Lease,
    job: &SingletonJob,
    lease_observations: &LeaseObservations,
    now: Moment,
) -> Result<ObservedLease, Failure> {
    let record = Record::read(&object).map_err(|malformed| Failure::Unusable(malformed.to_string()))?;
    let observation =
        lease_observations.observation(&job.namespace().unwrap_or_default(), &job.name_any(), &record, now);
    Ok(ObservedLease { object, record, observation })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;
    use crate::contract::labels;
    use crate::controller::observe::budgets::Budgets;
    use crate::controller::observe::candidate::Candidate;
    use crate::controller::observe::children::{OwnedCandidate, candidates};
    use crate::lease::annotations::keys;

    fn observed(job: &SingletonJob, lease: Lease, pods: &[Pod]) -> Observed {
        let children = Children {
            lease: Some(lease),
            role: None,
            binding: None,
            candidates: candidates(job, pods.iter().map(OwnedCandidate::of)),
            budgets: Budgets::default(),
            nodes: BTreeMap::new(),
            foreign: None,
            nobody_there: false,
        };
        assemble(job, children, &LeaseObservations::default(), Moment::default()).expect("a record")
    }

    #[test]
    fn a_holder_is_ready_once_its_agent_has_said_so_in_this_tenure() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
        }))
        .expect("a SingletonJob");
        let pod = |number: u32, readiness: &str| -> Pod {
            let owner = json!({"apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "name": "web", "uid": "j", "controller": true});
            serde_json::from_value(json!({
                "metadata": {"name": format!("web-{number}"), "uid": format!("u{number}"), "ownerReferences": [owner],
                             "annotations": {labels::READINESS: readiness}},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            }))
            .expect("a pod")
        };
        let holder = |readiness: &str, health: serde_json::Value| {
            let lease = json!({
                "metadata": {"name": "web", "uid": "l", "resourceVersion": "7",
                             "labels": {labels::MANAGED_BY: labels::MANAGED_BY_VALUE, labels::JOB: "web"},
                             "annotations": {keys::HEALTH: health.to_string()}},
                "spec": {"holderIdentity": "web-1_u1_7", "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:01:00.000000Z",
                         "renewTime": "2026-01-01T00:01:00.000000Z"},
            });
            let lease = serde_json::from_value(lease).expect("a Lease");
            let pods = [pod(1, readiness), pod(2, readiness)];
            let observed = observed(&job, lease, &pods);
            assert!(
                observed.candidates[1].ready && observed.candidates[1].unready_since.is_none(),
                "a standby is none of this"
            );
            let Candidate { ready, unready_since, .. } = observed.candidates[0].clone();
            (ready, unready_since, observed.awaits_readiness())
        };
        let waits = (false, "2026-01-01T00:01:00Z".parse().ok(), true);
        assert_eq!(holder(labels::READINESS_REPORTED, json!({"token": "7"})), waits);
        assert_eq!(
            holder(labels::READINESS_REPORTED, json!({"workloadReady": "2026-01-01T00:01:03Z"})),
            (true, None, false)
        );
        assert_eq!(holder("", json!({})), (true, None, false), "an agent that does not report");
    }

    #[test]
    fn a_lease_is_this_jobs_by_its_labels_or_by_the_uid_in_its_notes() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
        }))
        .expect("a SingletonJob");
        let seen = |labels: serde_json::Value, uid: &str| {
            let run = json!({"uid": uid, "number": 1, "desired": "Run"});
            let metadata = json!({"name": "web", "uid": "l", "resourceVersion": "7", "labels": labels, "annotations": {keys::RUN: run.to_string()}});
            let lease = serde_json::from_value(json!({"metadata": metadata})).expect("a Lease");
            observed(&job, lease, &[]).foreign
        };
        let both = || json!({labels::MANAGED_BY: labels::MANAGED_BY_VALUE, labels::JOB: "web"});
        assert_eq!(
            [seen(both(), "earlier"), seen(json!({}), "j"), seen(json!({labels::JOB: "web"}), "j")],
            [None, None, None]
        );
        let said = seen(json!({labels::JOB: "web"}), "earlier").expect("foreign");
        for label in ["app.kubernetes.io/managed-by=singletonjob-controller", "singletonjob.dev/name=web"] {
            assert!(said.contains(label), "{said}");
        }
    }
}
