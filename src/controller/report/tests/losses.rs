//! What events say of an attempt of a service that failed or was lost.

use super::*;
use crate::controller::observe::lease_observations::Former;
use crate::lease::identity::Identity;

/// Pod 1 of a service. Its container was started again at 14:03:12; the kubelet says this of how it had
/// ended.
fn restarted(last: Value) -> Candidate {
    let running = json!({"running": {"startedAt": "2026-01-01T14:03:12Z"}});
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web-1", "uid": "u1"},
        "spec": {"containers": [gated()], "nodeName": "node-b", "restartPolicy": "Always"},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": running, "lastState": last,
        }]},
    }))
    .expect("a pod");
    Candidate::read(&pod)
}

fn ended(code: i32, reason: &str, from: &str, until: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": format!("2026-01-01T{from}Z"),
                          "finishedAt": format!("2026-01-01T{until}Z")}})
}

fn counted() -> Value {
    json!({"uid": "j", "run": 1, "starts": 2, "failures": 1, "setbacks": 1, "retryAfterSeconds": 0, "open": true})
}

/// Pod 1 gave the Lease back like this, at 14:03:10.
fn given_back(exit: Value, unhealthy: bool) -> Value {
    json!({"leaseUid": "l", "renewTime": "2026-01-01T14:03:10Z", "by": "web-1_u1_0", "reason": "WorkloadFailed", "exit": exit,
           "unhealthy": unhealthy})
}

fn told(lease: ObservedLease, pod: Candidate) -> (Option<String>, String) {
    let observed = Observed { lease: Some(lease), candidates: vec![pod], ..Observed::default() };
    let job = job("Never", json!({}), &SingletonJobStatus::default());
    let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
    let events = events::between(&context, context.old(), &status::compute(&context));
    let failed = events.into_iter().find(|event| event.reason == "WorkloadFailed").expect("told");
    (failed.pod, failed.note)
}

/// How the workload of pod 1 ended, in the event.
fn why(exit: Value, unhealthy: bool, last: Value) -> String {
    let lease =
        seen(Some("web-2_u2_0"), json!({"progress": counted(), "released": given_back(exit, unhealthy)}), 1);
    let (pod, note) = told(lease, restarted(last));
    assert_eq!(pod.as_deref(), Some("web-1"));
    let how = note
        .strip_prefix("the workload failed in web-1: ")
        .and_then(|note| note.strip_suffix("; its log says why"));
    how.expect("no attempts are counted").to_owned()
}

#[test]
fn a_failure_of_a_service_has_the_kubelets_reason_for_that_very_end() {
    let killed = || json!({"signal": 9});
    let in_time = |reason| ended(137, reason, "14:00:00", "14:03:10");
    assert_eq!(why(killed(), false, in_time("OOMKilled")), "exit code 137 (OOMKilled)");
    let before = ended(137, "OOMKilled", "13:00:00", "14:03:09");
    let other = ended(1, "OOMKilled", "14:00:00", "14:03:10");
    for (what, last) in [
        ("not yet", json!({})),
        ("nothing new", in_time("Error")),
        ("an earlier end", before),
        ("another exit code", other),
    ] {
        assert_eq!(why(killed(), false, last), "exit code 137 (SIGKILL)", "{what}");
    }
}

#[test]
fn a_service_whose_liveness_probe_failed_is_told_as_unhealthy() {
    let killed = || json!({"signal": 9});
    assert_eq!(why(killed(), true, json!({})), "exit code 137 (Unhealthy)");
    assert_eq!(
        why(killed(), true, ended(137, "OOMKilled", "14:00:00", "14:03:10")),
        "exit code 137 (Unhealthy)"
    );
    let mut mark = given_back(killed(), true);
    mark["renewTime"] = json!("2026-01-01T14:09:59Z");
    let job = job("Never", json!({}), &SingletonJobStatus::default());
    let status = compute(&job, Some(seen(None, json!({"released": mark}), 1)), vec![pod(1, true, None)]);
    let held = find_condition(&status.conditions, types::HELD).expect("there");
    assert_eq!(
        held.message,
        "web-1 gave the Lease back: WorkloadFailed (Unhealthy: its liveness probe failed)"
    );
}

#[test]
fn a_loss_says_which_node_fell_silent_and_whether_memory_was_the_reason() {
    let lost = |last: Value| {
        let mut lease = seen(Some("web-2_u2_0"), json!({"progress": counted()}), 1);
        let renewed = Some("2026-01-01T14:03:08.7Z".parse().expect("a time"));
        lease.observation.before =
            Some(Former { holder: Identity::read("web-1_u1_0"), renewed, stopping: None });
        let (pod, note) = told(lease, restarted(last));
        assert_eq!(pod.as_deref(), Some("web-1"));
        note
    };
    let silent = |why: &str, advice: &str| {
        format!(
            "web-1 on node node-b stopped renewing the Lease{why}, and its attempt counts as failed{advice}"
        )
    };
    let unknown = silent("", "; kubectl describe node node-b says whether that node is ready");
    assert_eq!(lost(ended(137, "OOMKilled", "14:00:00", "14:03:09")), silent(" (OOMKilled)", ""));
    assert_eq!(lost(ended(137, "OOMKilled", "13:00:00", "14:03:07")), unknown, "an earlier end");
    assert_eq!(lost(ended(123, "Error", "14:00:00", "14:03:09")), unknown, "many things end a container");
    assert_eq!(lost(json!({})), unknown);
}
