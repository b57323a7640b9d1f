//! Candidates as their pods, written in JSON, describe them.

use serde_json::{Value, json};

use super::*;
use crate::contract::{exit_codes, paths, pod};

/// The container called `main`, as it is gated.
fn main() -> Value {
    json!({"name": "main", "volumeMounts": [{"name": pod::CREDENTIALS_VOLUME, "mountPath": paths::CREDENTIALS}]})
}

fn candidate(restart_policy: &str, status: Value) -> Candidate {
    let pod = json!({
        "metadata": {"name": "web-12", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [main()], "restartPolicy": restart_policy, "nodeName": "node-a"},
        "status": status,
    });
    Candidate::read(&serde_json::from_value(pod).expect("a pod"))
}

fn ended(code: i32, message: &str) -> Value {
    json!({"phase": "Running", "containerStatuses": [{
        "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "message": message, "finishedAt": "2026-01-01T00:01:00Z"}},
    }]})
}

#[test]
fn the_termination_of_the_container_that_ran_at_a_moment_is_found() {
    let at = |time: &str| format!("2026-01-01T00:{time}Z").parse().expect("a time");
    let ended = |from: &str, until: &str, reason: &str| {
        json!({"terminated": {"exitCode": 137, "reason": reason, "startedAt": format!("2026-01-01T00:{from}Z"),
                              "finishedAt": format!("2026-01-01T00:{until}Z")}})
    };
    let container = json!({"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 2,
        "state": ended("01:10", "01:20", "Error"), "lastState": ended("01:00", "01:10", "OOMKilled")});
    let candidate = candidate("Always", json!({"phase": "Running", "containerStatuses": [container]}));
    let found =
        |time: &str| candidate.termination(at(time)).and_then(|termination| termination.reason.as_deref());
    assert_eq!(
        (found("01:00"), found("01:09.9"), found("01:11"), found("01:20.9")),
        (Some("OOMKilled"), Some("OOMKilled"), Some("Error"), Some("Error"))
    );
    assert_eq!((found("00:59.9"), found("01:21")), (None, None), "none of those");
    assert_eq!(found("01:10.5"), None, "it may be either");
}

#[test]
fn whatever_ends_unasked_before_it_held_the_lease_ended_in_vain() {
    let in_vain = |code: i32, has_held: bool| {
        Candidate { has_held, ..candidate("Never", ended(code, "")) }.was_in_vain()
    };
    // It could not be started, it got no memory, its agent failed, or something else.
    assert_eq!([128, 137, exit_codes::AGENT_FAILED, 1].map(|code| in_vain(code, false)), [true; 4]);
    assert_eq!([0, exit_codes::INTERRUPTED].map(|code| in_vain(code, false)), [false; 2]);
    assert!(!in_vain(1, true), "it made its attempt");
    let ended = |reason: &str, conditions: Value| {
        let state = json!({"terminated": {"exitCode": 255, "reason": reason}});
        let container = json!({"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        candidate(
            "Never",
            json!({"phase": "Failed", "conditions": conditions, "containerStatuses": [container]}),
        )
        .was_in_vain()
    };
    assert!(ended("Error", json!([])));
    assert!(!ended("Unknown", json!([])), "its node was restarted");
    assert!(
        !ended("Error", json!([{"type": "DisruptionTarget", "status": "True"}])),
        "it made room for others"
    );
}

#[test]
fn a_pod_starts_when_it_was_scheduled_or_its_last_init_container_ended() {
    let since = |state: Value| {
        let init = json!({"name": "migrate", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let scheduled =
            json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"});
        let status = json!({"phase": "Pending", "conditions": [scheduled], "initContainerStatuses": [init]});
        candidate("Never", status).starting_since.map(|since| since.to_string())
    };
    assert_eq!(since(json!({})).as_deref(), Some("2026-01-01T00:00:05Z"));
    assert_eq!(since(json!({"running": {"startedAt": "2026-01-01T00:00:07Z"}})), None, "it works");
    let ended = json!({"terminated": {"exitCode": 0, "finishedAt": "2026-01-01T00:09:00Z"}});
    assert_eq!(since(ended).as_deref(), Some("2026-01-01T00:09:00Z"));
}

#[test]
fn a_pod_that_was_just_made_is_alive_and_not_ready() {
    let candidate = candidate("Never", json!({"phase": "Pending"}));
    assert_eq!((candidate.phase, candidate.ready, candidate.number), (Phase::Active, false, 12));
}

#[test]
fn since_when_a_pod_is_not_ready_is_what_its_node_says() {
    let said = |holds: &str| {
        let ready = json!({"type": "Ready", "status": holds, "lastTransitionTime": "2026-01-01T00:00:07Z"});
        candidate("Always", json!({"phase": "Running", "conditions": [ready]}))
    };
    let since = Some("2026-01-01T00:00:07Z".parse().expect("valid"));
    assert_eq!(
        (said("False").unready_since, said("Unknown").unready_since, said("True").unready_since),
        (since, since, None)
    );
    assert_eq!(candidate("Always", json!({"phase": "Pending"})).unready_since, None);
}

#[test]
fn a_one_shots_candidate_ends_with_its_gated_container_a_services_not() {
    assert!(
        candidate("Never", ended(3, "")).end().is_some_and(|end| end.exit_code == Some(3) && !end.is_fault())
    );
    assert!(candidate("Always", ended(3, "")).is_alive());
}

#[test]
fn an_unready_standby_can_take_over_when_its_startup_probe_succeeded() {
    let read = |startup: Value, main: bool, side: bool, proxy: bool| {
        let status = |name: &str, ready: bool, started: bool| {
            json!({"name": name, "image": "", "imageID": "", "ready": ready, "started": started, "restartCount": 0,
                   "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}}})
        };
        let mut gated = self::main();
        gated["startupProbe"] = startup;
        let pod = json!({
            "metadata": {"name": "web-12", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "containers": [gated, {"name": "side"}], "restartPolicy": "Always",
                "initContainers": [{"name": "once"}, {"name": "proxy", "restartPolicy": "Always"}],
            },
            "status": {
                "phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [status("main", false, main), status("side", side, true)],
                "initContainerStatuses": [status("once", false, false), status("proxy", proxy, true)],
            },
        });
        Candidate::read(&serde_json::from_value(pod).expect("a pod"))
    };
    let ours = || json!({"exec": {"command": ["x"]}});
    let able = read(ours(), true, true, true);
    assert!(able.can_take_over && !able.ready && able.since == "2026-01-01T00:00:05Z".parse().ok());
    assert!(
        !read(json!(null), true, true, true).can_take_over,
        "where standbys are to be ready, only ready ones are able"
    );
    assert!(!read(ours(), false, true, true).can_take_over, "it has not read its Lease");
    assert!(
        !read(ours(), true, false, true).can_take_over && !read(ours(), true, true, false).can_take_over,
        "something beside it is not ready"
    );
}

#[test]
fn containers_that_run_on_after_the_workload_are_seen_until_their_end() {
    let has_running_sidecars = |deadline: Value, main: Value, side: Value| {
        let status = |name, state| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let pod = json!({
            "metadata": {"name": "web-12", "uid": "u"},
            "spec": {"containers": [self::main(), {"name": "side"}], "restartPolicy": "Never", "activeDeadlineSeconds": deadline},
            "status": {"phase": "Running", "containerStatuses": [status("main", main), status("side", side)]},
        });
        Candidate::read(&serde_json::from_value(pod).expect("a pod")).has_running_sidecars
    };
    let (running, ended) = (json!({"running": {}}), json!({"terminated": {"exitCode": 0}}));
    assert!(
        has_running_sidecars(json!(null), ended.clone(), running.clone())
            && has_running_sidecars(json!(600), ended.clone(), running.clone())
    );
    assert!(!has_running_sidecars(json!(PAST_DEADLINE), ended.clone(), running.clone()), "told already");
    assert!(!has_running_sidecars(json!(null), running.clone(), ended.clone()), "the workload runs");
    assert!(!has_running_sidecars(json!(null), ended.clone(), ended), "nothing runs");
}

#[test]
fn which_container_is_gated_is_said_by_the_pod_and_by_nothing_else() {
    let read = |containers: Vec<Value>| {
        let status = |name, state| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let statuses =
            [status("side", json!({"terminated": {"exitCode": 3}})), status("main", json!({"running": {}}))];
        let pod = json!({
            "metadata": {"name": "web-12", "uid": "u"}, "spec": {"containers": containers, "restartPolicy": "Never"},
            "status": {"phase": "Running", "containerStatuses": statuses},
        });
        Candidate::read(&serde_json::from_value(pod).expect("a pod"))
    };
    let curious = json!({"name": "side", "volumeMounts": [{"name": pod::CREDENTIALS_VOLUME, "mountPath": "/elsewhere"}]});
    for containers in
        [vec![json!({"name": "side"}), main()], vec![main(), json!({"name": "side"})], vec![curious, main()]]
    {
        let candidate = read(containers);
        assert!(candidate.is_alive() && !candidate.has_running_sidecars, "its attempt goes on");
    }
}

#[test]
fn an_agent_that_cannot_read_its_lease_is_a_fault_and_no_attempt() {
    let candidate = candidate(
        "Never",
        ended(exit_codes::LEASE_UNREADABLE, "singletonjob-agent: reading lease a/b at c: refused"),
    );
    assert!(candidate.end().is_some_and(End::is_fault));
    let agent_error =
        |failed_self_test, message: &str| Some(AgentError { failed_self_test, message: message.into() });
    assert_eq!(candidate.agent_error, agent_error(false, "reading lease a/b at c: refused"));
    let unable = self::candidate(
        "Never",
        ended(exit_codes::SELF_TEST_FAILED, "singletonjob-agent: the agent has pid 7, not 1"),
    );
    assert_eq!(unable.agent_error, agent_error(true, "the agent has pid 7, not 1"));
    assert!(
        !self::candidate("Never", ended(exit_codes::LEASE_UNREADABLE, "the workload's own 122"))
            .end()
            .is_some_and(End::is_fault)
    );
}

/// Why the kubelet ended a pod, if that is the pod's own fault.
fn fault(reason: &str, message: &str, deadline: Value, disrupted: &str, deleted: Value) -> Option<String> {
    let disrupted = json!({"type": "DisruptionTarget", "status": disrupted});
    let pod = json!({
        "metadata": {"name": "web-12", "uid": "u", "deletionTimestamp": deleted},
        "spec": {"containers": [], "restartPolicy": "Always", "activeDeadlineSeconds": deadline},
        "status": {"phase": "Failed", "reason": reason, "message": message, "conditions": [disrupted]},
    });
    let candidate = Candidate::read(&serde_json::from_value(pod).expect("a pod"));
    candidate.end().and_then(|end| end.fault_of_pod.clone()).map(|fault| fault.reason)
}

#[test]
fn a_pod_is_at_fault_if_the_kubelet_ended_it_and_nothing_else_asked() {
    let (none, long) = (|| json!(null), "Pod was active on the node longer than the specified deadline");
    let full = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ";
    assert_eq!(
        fault("DeadlineExceeded", long, json!(20), "False", none()).as_deref(),
        Some("DeadlineExceeded")
    );
    assert_eq!(fault("Evicted", full, none(), "False", none()).as_deref(), Some("Evicted"));
    for (what, fault) in [
        ("the controller's deadline", fault("DeadlineExceeded", long, json!(PAST_DEADLINE), "False", none())),
        (
            "for others' sake",
            fault("Evicted", "The node was low on resource: memory.", none(), "True", none()),
        ),
        ("deleted", fault("DeadlineExceeded", long, json!(20), "False", json!("2026-01-01T00:00:00Z"))),
        ("its workload's own end", fault("", "", none(), "False", none())),
        (
            "not taken",
            fault(
                "OutOfcpu",
                "Pod was rejected: Node didn't have enough resource: cpu",
                none(),
                "False",
                none(),
            ),
        ),
        (
            "not taken, as earlier kubelets say it",
            fault("UnexpectedAdmissionError", "Allocate failed", none(), "False", none()),
        ),
        ("not taken back", fault("NodeAffinity", "Predicate NodeAffinity failed", none(), "False", none())),
    ] {
        assert_eq!(fault, None, "{what}");
    }
}

#[test]
fn a_missing_image_and_a_full_cluster_are_quoted() {
    let waiting = json!({"phase": "Pending", "containerStatuses": [{
        "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
    }]});
    let start_failure = candidate("Never", waiting).start_failure.expect("one");
    assert_eq!(
        (&*start_failure.reason, &*start_failure.message),
        ("ErrImagePull", "container main: no such image")
    );
    let unschedulable = json!({"conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available"},
    ]});
    assert_eq!(candidate("Never", unschedulable).start_failure.expect("one").reason, "Unschedulable");
}
