//! Finds the pods that the kubelet ended for their own fault: a deadline, a full volume or a full disk.
//!
//! Their agents see the same signal as in a drain, and count no failure. The controller sees why the pod
//! ended, and names it in the `run` annotation. Candidates count it there, once. The Lease and the pods
//! decide this whenever the controller looks, so it has nothing to remember.

use super::super::observe::Observed;
use super::runs;
use crate::api::SingletonJob;
use crate::lease::annotations::{FailedPod, MOST_TENANTS};

/// The pods of run `number` that candidates should count: those that are named already, and those whose end
/// the account still leaves open.
pub fn of(job: &SingletonJob, observed: &Observed, number: u32) -> Vec<FailedPod> {
    let mut named = runs::noted(job, observed)
        .filter(|run| run.number == number)
        .map_or_else(Vec::new, |run| run.failed_pods.clone());
    let found = found(job, observed, number);
    named.extend(found.into_iter().filter(|pod| !is_named(&named, pod)).collect::<Vec<_>>());
    let surplus = named.len().saturating_sub(MOST_TENANTS);
    named.split_off(surplus)
}

fn is_named(named: &[FailedPod], pod: &FailedPod) -> bool {
    named.iter().any(|known| known.uid == pod.uid)
}

fn found(job: &SingletonJob, observed: &Observed, number: u32) -> Vec<FailedPod> {
    let account = runs::progress_of(job, observed, number);
    let open =
        account.iter().flat_map(|account| &account.tenants).filter(|tenant| tenant.provisional.is_some());
    let pod = |uid: &String| observed.candidates.iter().find(|candidate| candidate.uid == *uid);
    let failed = open.filter_map(|tenant| {
        let (pod, fault) = pod(&tenant.uid).and_then(|pod| Some((pod, pod.end()?.fault_of_pod.as_ref()?)))?;
        let (reason, message) = (fault.reason.clone(), fault.message.clone());
        Some(FailedPod { uid: pod.uid.clone(), name: pod.name.clone(), reason, message })
    });
    failed.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{job, lease, pod, settled};
    use super::*;
    use crate::controller::observe::candidate::{Candidate, End, Fault, Phase};

    fn failed(number: i64, at_fault: bool) -> Candidate {
        let fault = Fault { reason: "Evicted".into(), message: Some("too much".into()) };
        let end = End {
            succeeded: false,
            exit_code: Some(143),
            reason: None,
            message: None,
            at: None,
            fault_of_pod: at_fault.then_some(fault),
            disrupted: false,
        };
        Candidate { phase: Phase::Terminated(end), ..pod(number, false) }
    }

    fn observed(tenants: &[(&str, bool)], named: &[&str], candidates: Vec<Candidate>) -> Observed {
        let tenant =
            |(uid, open): &(&str, bool)| json!({"uid": uid, "provisional": open.then_some("Interrupted")});
        let tenants: Vec<_> = tenants.iter().map(tenant).collect();
        let progress = json!({"uid": "j", "run": 1, "starts": 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": false,
                              "tenants": tenants});
        let named: Vec<_> =
            named.iter().map(|uid| json!({"uid": uid, "name": uid, "reason": "Evicted"})).collect();
        let run = json!({"uid": "j", "number": 1, "desired": "Run", "failedPods": named});
        let annotations = json!({"singletonjob.dev/progress": progress.to_string(), "singletonjob.dev/run": run.to_string()});
        Observed { lease: Some(lease(None, annotations)), candidates, ..Observed::default() }
    }

    /// What the row is about, tenants, pods that the Lease names, pods that are there, and what the Lease
    /// should name.
    type Row<'a> = (&'a str, &'a [(&'a str, bool)], &'a [&'a str], Vec<Candidate>, &'a [&'a str]);

    fn names(observed: &Observed) -> Vec<String> {
        let job = job(json!({}), settled());
        of(&job, observed, 1).into_iter().map(|pod| pod.uid).collect()
    }

    #[test]
    fn a_pod_counts_that_held_the_lease_in_this_run_and_failed_by_itself() {
        let table: Vec<Row<'_>> = vec![
            ("held, and ended by the kubelet", &[("u1", true)], &[], vec![failed(1, true)], &["u1"]),
            ("held, and drained", &[("u1", true)], &[], vec![failed(1, false)], &[]),
            ("a standby", &[("u2", true)], &[], vec![failed(1, true)], &[]),
            ("counted by its agent", &[("u1", false)], &[], vec![failed(1, true)], &[]),
            ("named already", &[("u1", true)], &["u1"], vec![failed(1, true)], &["u1"]),
            ("named and counted", &[("u1", false)], &["u1"], vec![failed(1, true)], &["u1"]),
            ("named, and its pod is gone", &[("u1", true)], &["u1"], vec![], &["u1"]),
            ("one more", &[("u1", false), ("u2", true)], &["u1"], vec![failed(2, true)], &["u1", "u2"]),
            ("it runs", &[("u1", true)], &[], vec![pod(1, true)], &[]),
        ];
        for (what, tenants, named, candidates, expected) in table {
            assert_eq!(names(&observed(tenants, named, candidates)), expected, "{what}");
        }
    }

    #[test]
    fn another_run_begins_with_no_failed_pods() {
        let observed = observed(&[("u1", true)], &["u1"], vec![failed(1, true)]);
        assert_eq!(of(&job(json!({}), settled()), &observed, 2), []);
    }
}
