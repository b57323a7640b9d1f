//! What the Lease says of a candidate: whether it has held the Lease, and whether the workload of the holder
//! is ready in this tenure.

use super::candidate::Candidate;
use crate::api::SingletonJob;
use crate::lease::identity::Identity;
use crate::lease::record::Record;

/// Adds to `candidate` what `record`, the Lease of `job`, and status say of it.
pub(super) fn add(candidate: Candidate, job: &SingletonJob, record: Option<&Record>) -> Candidate {
    let candidate = Candidate { has_held: has_held(&candidate, job, record), ..candidate };
    match record {
        Some(record) if awaits_readiness(&candidate, record) => Candidate {
            ready: false,
            unready_since: candidate.unready_since.or(record.acquire_time),
            ..candidate
        },
        _ => candidate,
    }
}

/// Whether `candidate` holds the Lease, and its agent has yet to say that the workload is ready. The pod may
/// still be ready from the time when it was a standby.
pub(super) fn awaits_readiness(candidate: &Candidate, record: &Record) -> bool {
    let holds = record.holder.as_ref().and_then(Identity::pod_uid) == Some(&candidate.uid);
    holds
        && candidate.reports_readiness
        && record.annotations.health.as_ref().is_none_or(|health| health.workload_ready.is_none())
}

/// Whether the Lease or status names `candidate` as a holder. Status knows of pods whose agents do not write
/// themselves into the Lease.
fn has_held(candidate: &Candidate, job: &SingletonJob, record: Option<&Record>) -> bool {
    let mut takeovers = job.status.iter().flat_map(|status| &status.takeovers);
    record.is_some_and(|record| names_holder(record, candidate))
        || takeovers.any(|takeover| takeover.to == candidate.name)
}

/// Whether `record` names `candidate` as its present or a former holder.
fn names_holder(record: &Record, candidate: &Candidate) -> bool {
    let annotations = &record.annotations;
    let holders = [
        record.holder.as_ref(),
        annotations.released.as_ref().map(|released| &released.by),
        annotations.finished.as_ref().map(|finished| &finished.by),
    ];
    let mut tenants = annotations.progress.iter().flat_map(|progress| &progress.tenants);
    holders.into_iter().flatten().any(|holder| holder.pod_uid() == Some(&candidate.uid))
        || tenants.any(|tenant| tenant.uid == candidate.uid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lease::annotations::keys;

    #[test]
    fn who_has_held_the_lease_is_said_by_the_lease_or_by_status() {
        let job: SingletonJob = serde_json::from_value(json!({
            "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob", "metadata": {"name": "web", "uid": "j"}, "spec": {"template": {}},
            "status": {"takeovers": [{"to": "web-5", "reason": "Drain"}]},
        }))
        .expect("a SingletonJob");
        let progress = json!({"uid": "j", "run": 1, "starts": 3, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true,
                              "tenants": [{"uid": "u1"}, {"uid": "u3"}]});
        let mark = json!({"leaseUid": "l", "renewTime": null, "by": "web-2_u2_7", "reason": "Drain"});
        let annotations = json!({keys::PROGRESS: progress.to_string(), keys::RELEASED: mark.to_string()});
        let lease = json!({"metadata": {"uid": "l", "resourceVersion": "7", "annotations": annotations}, "spec": {"holderIdentity": "web-4_u4_7"}});
        let record = Record::read(&serde_json::from_value(lease).expect("a Lease")).expect("a record");
        let pod = |number: u32| {
            let pod = json!({"metadata": {"name": format!("web-{number}"), "uid": format!("u{number}")}});
            Candidate::read(&serde_json::from_value(pod).expect("a pod"))
        };
        let held: Vec<_> = (1..=6).filter(|number| has_held(&pod(*number), &job, Some(&record))).collect();
        assert_eq!(held, [1, 2, 3, 4, 5]);
    }
}
