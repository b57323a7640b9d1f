//! The state table of the API, row by row, on plain data.

mod asked;
mod blocked;
mod earlier;
mod idle;
mod listed;
mod losses;
mod refused;
mod rollout;
mod runs;
mod scheduled;
mod silence;
mod takeovers;
mod ticks;
mod unstarted;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::api::conditions::{find_condition, is_true, reasons, types};
use crate::api::status::{CandidateRole, LeaseStatus, TakeoverReason};
use crate::contract;
use crate::controller::apply;
use crate::controller::observe::candidate::{self, Candidate};
use crate::controller::observe::lease_observations::Observation;
use crate::controller::plan;
use crate::lease::identity::Version;

const ACQUIRED: &str = "2026-01-01T14:03:11.000000Z";

fn now() -> Timestamp {
    "2026-01-01T14:10:00Z".parse().expect("valid")
}

fn job(completion_policy: &str, spec: Value, status: &SingletonJobStatus) -> SingletonJob {
    let mut all = json!({"completionPolicy": completion_policy, "template": {"spec": {"containers": [{"name": "main", "command": ["x"]}]}}});
    all.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    serde_json::from_value(json!({
        "apiVersion": "singletonjob.dev/v1alpha1", "kind": "SingletonJob",
        "metadata": {"name": "web", "namespace": "shop", "uid": "j", "generation": 3}, "spec": all, "status": status,
    }))
    .expect("a SingletonJob")
}

fn gated() -> Value {
    json!({"name": "main", "volumeMounts": [{"name": contract::pod::CREDENTIALS_VOLUME, "mountPath": contract::paths::CREDENTIALS}]})
}

fn pod(number: u32, ready: bool, waiting: Option<&str>) -> Candidate {
    let state = waiting.map_or(
        json!({"running": {}}),
        |reason| json!({"waiting": {"reason": reason, "message": "no such image"}}),
    );
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": format!("web-{number}"), "uid": format!("u{number}")},
        "spec": {"containers": [gated()], "nodeName": if number == 2 { "node-a" } else { "node-b" }, "restartPolicy": "Always"},
        "status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": ready, "restartCount": 0, "state": state}],
        },
    }))
    .expect("a pod");
    Candidate { template_hash: Some(Observed::default().template_hash), ..Candidate::read(&pod) }
}

fn seen(holder: Option<&str>, annotations: Value, unchanged: u64) -> ObservedLease {
    let annotations: std::collections::BTreeMap<String, String> = annotations
        .as_object()
        .expect("an object")
        .iter()
        .map(|(key, value)| (format!("singletonjob.dev/{key}"), value.to_string()))
        .collect();
    let object = serde_json::from_value(json!({
        "metadata": {"name": "web", "uid": "l", "resourceVersion": "48290", "annotations": annotations},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": ACQUIRED, "renewTime": "2026-01-01T14:09:59.000000Z"},
    }))
    .expect("a Lease");
    let record = Record::read(&object).expect("a record");
    let observation = Observation {
        unchanged: Duration::from_secs(unchanged),
        seen_alive: true,
        token: holder.map(|_| Version(48213)),
        ..Observation::default()
    };
    ObservedLease { object, record, observation }
}

fn held() -> ObservedLease {
    seen(Some("web-2_u2_0"), json!({}), 1)
}

fn released(progress: &Value, finished: &Value) -> ObservedLease {
    let released = json!({"leaseUid": "l", "renewTime": "2026-01-01T14:09:59Z", "by": "web-2_u2_0", "reason": "WorkloadFailed", "token": "48213"});
    seen(None, json!({"released": released, "progress": progress, "finished": finished}), 1)
}

fn compute(
    job: &SingletonJob,
    lease: Option<ObservedLease>,
    candidates: Vec<Candidate>,
) -> SingletonJobStatus {
    let observed = Observed { lease, candidates, ..Observed::default() };
    let plan = plan::plan(job, &observed, now());
    status::compute(&ReportContext::new(job, &observed, &plan, apply::nothing(), now()))
}

fn says(status: &SingletonJobStatus, type_: &str) -> Option<(String, String)> {
    find_condition(&status.conditions, type_)
        .map(|condition| (condition.status.clone(), condition.reason.clone()))
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be absent")]
fn is(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.to_owned(), reason.to_owned()))
}

/// `Ready`, and `Reconciling` and `Stalled` where they are true.
fn table(status: &SingletonJobStatus) -> [Option<(String, String)>; 3] {
    let where_true = |type_| if is_true(&status.conditions, type_) { says(status, type_) } else { None };
    [says(status, types::READY), where_true(types::RECONCILING), where_true(types::STALLED)]
}

#[test]
fn a_service_whose_holder_is_ready_is_ready_and_says_so_in_one_sentence() {
    let job = job("Never", json!({}), &SingletonJobStatus::default());
    let status = compute(&job, Some(held()), vec![pod(1, true, None), pod(2, true, None)]);
    assert_eq!(table(&status), [is("True", reasons::HELD), None, None]);
    let ready = find_condition(&status.conditions, types::READY).expect("there");
    assert_eq!(
        ready.message,
        "held by web-2 on node-a since 2026-01-01T14:03:11Z, token 48213; 1 standby ready"
    );
    assert_eq!(says(&status, types::HELD), is("True", reasons::HELD));
    assert_eq!((status.replicas, status.ready_replicas, status.ready_standbys), (Some(2), Some(2), Some(1)));
    assert_eq!(status.observed_generation, Some(3));
}

#[test]
fn the_token_shown_is_the_one_that_the_holder_says() {
    let lease = LeaseStatus { fencing_token: Some("48290".into()), ..LeaseStatus::default() };
    let job =
        job("Never", json!({}), &SingletonJobStatus { lease: Some(lease), ..SingletonJobStatus::default() });
    let shown = |seen: ObservedLease| {
        compute(&job, Some(seen), vec![pod(2, true, None)]).lease.and_then(|lease| lease.fencing_token)
    };
    assert_eq!(shown(held()).as_deref(), Some("48213"));
    assert_eq!(shown(seen(None, json!({}), 1)).as_deref(), Some("48290"), "no agent says another");
}

#[test]
fn standbys_that_share_the_node_of_the_holder_are_said_to() {
    let beside = Candidate { node: Some("node-a".into()), ..pod(3, true, None) };
    let told = |candidates: Vec<Candidate>| {
        let status =
            compute(&job("Never", json!({}), &SingletonJobStatus::default()), Some(held()), candidates);
        find_condition(&status.conditions, types::STANDBY_AVAILABLE).expect("there").clone()
    };
    let same = told(vec![pod(2, true, None), beside.clone()]);
    assert_eq!((same.status.as_str(), same.reason.as_str()), ("True", reasons::SAME_NODE));
    let words = "1 standby is ready, on the same node as the holder: if node-a fails, the workload stops until a candidate is ready on another node";
    assert_eq!(same.message, words);
    assert_eq!(
        told(vec![pod(1, true, None), pod(2, true, None), beside]).reason,
        reasons::AS_EXPECTED,
        "one is elsewhere"
    );
}

#[test]
fn a_standby_that_is_not_to_be_ready_counts_as_one_that_could_take_over() {
    let job = job("Never", json!({"standbyReadiness": "NotReady"}), &SingletonJobStatus::default());
    let standby = Candidate { can_take_over: true, ..pod(1, false, None) };
    let status = compute(&job, Some(held()), vec![standby, pod(2, true, None)]);
    assert_eq!((status.replicas, status.ready_replicas, status.ready_standbys), (Some(2), Some(1), Some(1)));
    assert_eq!(says(&status, types::STANDBY_AVAILABLE), is("True", reasons::AS_EXPECTED));
    assert_eq!(table(&status), [is("True", reasons::HELD), None, None]);
    let roles: Vec<_> = status.candidates.iter().map(|candidate| (candidate.role, candidate.ready)).collect();
    assert_eq!(roles, [(CandidateRole::Standby, false), (CandidateRole::Active, true)]);
}

#[test]
fn a_hazard_of_the_template_is_told_once_and_goes_with_its_cause() {
    let limited = |cpu: &str| {
        let container = json!({"name": "main", "command": ["x"], "resources": {"limits": {"cpu": cpu}}});
        json!({"template": {"spec": {"containers": [container]}}})
    };
    let told = |before: &SingletonJobStatus, cpu: &str| {
        let job = job("Never", limited(cpu), before);
        let observed =
            Observed { lease: Some(held()), candidates: vec![pod(2, true, None)], ..Observed::default() };
        let plan = plan::plan(&job, &observed, now());
        let context = ReportContext::new(&job, &observed, &plan, apply::nothing(), now());
        let status = status::compute(&context);
        let events = events::between(&context, before, &status).into_iter();
        (events.filter(|event| event.reason == "TemplateHazardous").count(), status)
    };
    let (first, status) = told(&SingletonJobStatus::default(), "100m");
    assert_eq!((first, says(&status, types::TEMPLATE_HAZARDOUS)), (1, is("True", reasons::LOW_CPU_LIMIT)));
    assert_eq!(told(&status, "100m").0, 0);
    let (after, status) = told(&status, "1");
    assert_eq!((after, says(&status, types::TEMPLATE_HAZARDOUS)), (0, None));
}

#[test]
fn a_takeover_under_way_does_not_touch_health_until_patience_ends() {
    let before = compute(
        &job("Never", json!({}), &SingletonJobStatus::default()),
        Some(held()),
        vec![pod(2, true, None)],
    );
    let silent = seen(Some("web-2_u2_0"), json!({}), 16);
    let during = compute(&job("Never", json!({}), &before), Some(silent.clone()), vec![pod(2, true, None)]);
    assert_eq!(table(&during), table(&before));
    assert_eq!(says(&during, types::HELD), is("False", reasons::EXPIRED));
    let mut long_ago = during;
    for condition in &mut long_ago.conditions {
        condition.last_transition_time.0 = now() - Duration::from_secs(46);
    }
    let after = compute(&job("Never", json!({}), &long_ago), Some(silent), vec![pod(2, true, None)]);
    assert_eq!(table(&after), [is("False", reasons::EXPIRED), is("True", reasons::EXPIRED), None]);
}

#[test]
fn a_service_that_crashes_again_and_again_is_not_ready() {
    let progress = json!({"uid": "j", "run": 1, "starts": 3, "failures": 3, "setbacks": 3, "retryAfterSeconds": 20, "open": false});
    let job = job("Never", json!({}), &SingletonJobStatus::default());
    let status = compute(&job, Some(released(&progress, &Value::Null)), vec![pod(2, true, None)]);
    assert_eq!(table(&status), [is("False", reasons::BACKOFF), is("True", reasons::BACKOFF), None]);
}

#[test]
fn a_one_shot_that_runs_is_progressing() {
    let job = job("OnSuccess", json!({}), &SingletonJobStatus::default());
    let status = compute(&job, Some(held()), vec![pod(2, true, None)]);
    assert_eq!(table(&status), [is("False", reasons::RUNNING), is("True", reasons::RUNNING), None]);
    assert_eq!(says(&status, types::COMPLETE), None);
}

fn finished(outcome: &str, reason: &str, code: i32) -> Value {
    json!({"uid": "j", "run": 1, "outcome": outcome, "reason": reason, "exit": {"code": code}, "attempt": 1, "failures": 0, "token": "48213",
           "by": "web-2_u2_0", "startTime": ACQUIRED, "completionTime": "2026-01-01T14:09:59.5Z"})
}

#[test]
fn a_one_shot_that_succeeded_is_complete_and_stays_so_without_its_lease() {
    let shot = |status: &SingletonJobStatus| job("OnSuccess", json!({}), status);
    let lease = released(&Value::Null, &finished("Succeeded", "Completed", 0));
    let status = compute(&shot(&SingletonJobStatus::default()), Some(lease), vec![]);
    assert_eq!(table(&status), [is("True", reasons::COMPLETE), None, None]);
    assert_eq!(says(&status, types::COMPLETE), is("True", "Completed"));
    assert_eq!((status.runs.len(), status.succeeded_runs, status.run.clone()), (1, Some(1), None));
    let later = compute(&shot(&status), None, vec![]);
    assert_eq!((&later.runs, says(&later, types::COMPLETE)), (&status.runs, is("True", "Completed")));
}

#[test]
fn a_finished_one_shot_whose_template_changes_says_that_it_stays_finished() {
    let lease = released(&Value::Null, &finished("Succeeded", "Completed", 0));
    let of_template =
        |hash: &str| vec![Candidate { template_hash: Some(hash.into()), ..pod(2, false, None) }];
    let message = |status: &SingletonJobStatus| {
        find_condition(&status.conditions, types::COMPLETE).expect("over").message.clone()
    };
    let same = compute(
        &job("OnSuccess", json!({}), &SingletonJobStatus::default()),
        Some(lease.clone()),
        of_template(""),
    );
    assert!(!message(&same).contains("template"), "{}", message(&same));
    let other = compute(
        &job("OnSuccess", json!({}), &SingletonJobStatus::default()),
        Some(lease),
        of_template("old"),
    );
    assert!(message(&other).ends_with("delete this SingletonJob and apply it again"), "{}", message(&other));
}

#[test]
fn a_one_shot_that_failed_is_stalled() {
    let job = job("OnSuccess", json!({}), &SingletonJobStatus::default());
    let status =
        compute(&job, Some(released(&Value::Null, &finished("Failed", "BackoffLimitExceeded", 1))), vec![]);
    assert_eq!(table(&status), [is("False", reasons::FAILED), None, is("True", reasons::FAILED)]);
    assert_eq!(says(&status, types::FAILED), is("True", reasons::BACKOFF_LIMIT_EXCEEDED));
}

/// The status after a run of a job with a failure policy and a deadline.
fn ended(
    reason: &str,
    finished: Value,
    candidates: Vec<Candidate>,
    before: &SingletonJobStatus,
) -> SingletonJobStatus {
    let policy = json!({
        "leaseDurationSeconds": 15, "renewDeadlineMilliseconds": 8800, "gracePeriodMilliseconds": 2200, "retryPeriodMilliseconds": 2900,
        "completionPolicy": "OnSuccess", "backoffLimit": 6, "candidates": 2, "activeDeadlineSeconds": 60,
        "failurePolicy": {"rules": [{"operator": "In", "values": [1], "action": "Ignore"},
                                    {"operator": "In", "values": [42], "action": "FailRun"}]},
    });
    let mut all = self::finished("Failed", reason, 1);
    all.as_object_mut().expect("an object").extend(finished.as_object().expect("an object").clone());
    let lease = seen(None, json!({"finished": all, "policy": policy}), 1);
    compute(&job("OnSuccess", json!({}), before), Some(lease), candidates)
}

#[test]
fn a_run_that_a_rule_failed_names_the_exit_code_and_the_rule() {
    let status =
        ended("FailurePolicy", json!({"exit": {"code": 42}}), vec![], &SingletonJobStatus::default());
    assert_eq!(says(&status, types::FAILED), is("True", reasons::FAILURE_POLICY));
    let message = &find_condition(&status.conditions, types::FAILED).expect("there").message;
    assert!(
        message
            .contains("attempt 1 in web-2: exit code 42; spec.failurePolicy.rules[1] fails the run at once"),
        "{message}"
    );
}

#[test]
fn a_run_that_took_too_long_says_how_long_it_may_take() {
    let stopped =
        ended("DeadlineExceeded", json!({"exit": {"signal": 15}}), vec![], &SingletonJobStatus::default());
    assert_eq!(says(&stopped, types::FAILED), is("True", reasons::DEADLINE_EXCEEDED));
    let message = |status: &SingletonJobStatus| status.runs[0].message.clone().unwrap_or_default();
    assert_eq!(
        message(&stopped),
        "attempt 1 in web-2: exit code 143; the run took longer than spec.activeDeadlineSeconds of 60"
    );
    let closed = ended(
        "DeadlineExceeded",
        json!({"exit": null, "token": null}),
        vec![],
        &SingletonJobStatus::default(),
    );
    assert_eq!(message(&closed), "the run took longer than spec.activeDeadlineSeconds of 60");
}

/// A candidate that ended for `reason`.
fn dead(number: u32, reason: &str) -> Candidate {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": format!("web-{number}"), "uid": format!("u{number}")},
        "spec": {"containers": [gated()], "nodeName": "node-a", "restartPolicy": "Never"},
        "status": {"phase": "Failed", "containerStatuses": [{
            "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": reason, "finishedAt": "2026-01-01T14:09:59Z"}},
        }]},
    }))
    .expect("a pod");
    Candidate::read(&pod)
}

#[test]
fn the_last_of_all_attempts_says_in_runs_what_it_died_of() {
    let (killed, lost) = (json!({"exit": {"signal": 9}}), json!({"exit": null, "token": null}));
    let at_first = ended(
        "BackoffLimitExceeded",
        killed.clone(),
        vec![pod(2, true, None)],
        &SingletonJobStatus::default(),
    );
    assert_eq!(at_first.runs[0].reason.as_deref(), Some("BackoffLimitExceeded"), "the pod has not told yet");
    let table = [
        (killed, vec![dead(2, "OOMKilled")], "OOMKilled", "attempt 1 in web-2: exit code 137 (OOMKilled)"),
        (
            lost.clone(),
            vec![dead(1, "OOMKilled"), dead(2, "Error")],
            "OOMKilled",
            "attempt 1 in web-2: its holder stopped renewing the Lease (OOMKilled)",
        ),
        (
            lost,
            vec![dead(1, "Evicted")],
            "BackoffLimitExceeded",
            "attempt 1 in web-2: its holder stopped renewing the Lease",
        ),
        (
            json!({"unhealthy": true}),
            vec![dead(2, "Error")],
            "Unhealthy",
            "attempt 1 in web-2: exit code 1 (Unhealthy)",
        ),
    ];
    for (finished, pods, reason, message) in table {
        for before in [&SingletonJobStatus::default(), &at_first] {
            let status = ended("BackoffLimitExceeded", finished.clone(), pods.clone(), before);
            let said = before == &at_first && reason == "BackoffLimitExceeded";
            assert_eq!(status.runs[0].reason.as_deref(), Some(reason));
            assert!(said || status.runs[0].message.as_deref() == Some(message), "{:?}", status.runs[0]);
            assert_eq!(says(&status, types::FAILED), is("True", reasons::BACKOFF_LIMIT_EXCEEDED));
        }
    }
}

#[test]
fn suspended_is_ready_and_says_so() {
    let job = job("Never", json!({"suspend": true}), &SingletonJobStatus::default());
    let status = compute(&job, Some(released(&Value::Null, &Value::Null)), vec![]);
    assert_eq!(table(&status), [is("True", reasons::SUSPENDED), None, None]);
    assert_eq!(says(&status, types::SUSPENDED), is("True", reasons::SUSPENDED));
}

#[test]
fn invalid_is_stalled() {
    let job = job("Never", json!({"lease": {"leaseDurationSeconds": 1}}), &SingletonJobStatus::default());
    let status = compute(&job, None, vec![]);
    assert_eq!(table(&status), [is("False", reasons::INVALID_SPEC), None, is("True", reasons::INVALID_SPEC)]);
}

#[test]
fn a_template_that_cannot_start_is_quoted() {
    let job = job("Never", json!({}), &SingletonJobStatus::default());
    let status =
        compute(&job, Some(released(&Value::Null, &Value::Null)), vec![pod(1, false, Some("ErrImagePull"))]);
    let ready = find_condition(&status.conditions, types::READY).expect("there");
    assert_eq!(
        (&*ready.reason, &*ready.message),
        ("ErrImagePull", "web-1: ErrImagePull: container main: no such image")
    );
}

#[test]
fn what_keeps_a_new_template_from_starting_is_told_once() {
    let shot = |status: &SingletonJobStatus| job("Never", json!({}), status);
    let happened = |before: &SingletonJobStatus, candidates: Vec<Candidate>| {
        let observed = Observed { lease: Some(held()), candidates, ..Observed::default() };
        let job = shot(before);
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let after = status::compute(&context);
        (events::between(&context, before, &after), after)
    };
    let running = || vec![pod(1, true, None), pod(2, true, None)];
    let (_, before) = happened(&SingletonJobStatus::default(), running());
    let with_a_third = || [running(), vec![pod(3, false, Some("ErrImagePull"))]].concat();
    let (events, after) = happened(&before, with_a_third());
    let told: Vec<_> = events.iter().map(|event| (event.reason, event.warning, &*event.note)).collect();
    assert_eq!(told, [("StandbyUnavailable", true, "web-3: ErrImagePull: container main: no such image")]);
    assert_eq!(table(&after), [is("True", reasons::HELD), None, None]);
    assert_eq!(happened(&after, with_a_third()), (vec![], after));
}

#[test]
fn a_change_of_hands_is_written_down_once_with_its_reason() {
    let shot = |status: &SingletonJobStatus| job("Never", json!({}), status);
    let lease = crate::api::status::LeaseStatus {
        last_holder_identity: Some("web-1_u1_0".into()),
        ..Default::default()
    };
    let before = SingletonJobStatus { lease: Some(lease), ..SingletonJobStatus::default() };
    let first = compute(&shot(&before), Some(held()), vec![pod(2, true, None)]);
    let takeover = &first.takeovers[0];
    assert_eq!(
        (takeover.from.as_deref(), &*takeover.to, takeover.reason),
        (Some("web-1"), "web-2", TakeoverReason::Expired)
    );
    let again = compute(&shot(&first), Some(held()), vec![pod(2, true, None)]);
    assert_eq!(again, first, "a second look changes nothing");
}

#[test]
fn a_request_to_hand_over_waits_in_status_and_its_refusal_is_told_once() {
    let requested = |status: &SingletonJobStatus| {
        let mut job = job("Never", json!({}), status);
        let annotations =
            [("singletonjob.dev/handover-requested-at", "noon"), ("singletonjob.dev/handover-to", "web-1")];
        job.metadata.annotations =
            Some(annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        job
    };
    let happened = |before: &SingletonJobStatus, candidates: Vec<Candidate>| {
        let (job, observed) =
            (requested(before), Observed { lease: Some(held()), candidates, ..Observed::default() });
        let plan = plan::plan(&job, &observed, now());
        let context = ReportContext::new(&job, &observed, &plan, apply::nothing(), now());
        let after = status::compute(&context);
        (events::between(&context, before, &after), after)
    };
    let before = SingletonJobStatus { observed_generation: Some(1), ..SingletonJobStatus::default() };
    let (_, mut waiting) = happened(&before, vec![pod(1, false, None), pod(2, true, None)]);
    let pending = waiting.pending_handover_request.as_mut().expect("web-1 is not ready yet");
    assert_eq!((pending.request.as_str(), pending.since.0), ("noon", now()));
    pending.since.0 = now() - Duration::from_secs(30);
    let (events, refused) = happened(&waiting, vec![pod(1, false, None), pod(2, true, None)]);
    let told: Vec<_> =
        events.iter().filter(|event| event.reason == "HandoverRefused").map(|event| &*event.note).collect();
    let expected = "the controller refused the request \"noon\" to hand over: web-1 was not ready within 30 s: kubectl describe pod web-1 says why; \
                    ask again then";
    assert_eq!(told, [expected]);
    assert_eq!(
        (refused.pending_handover_request.clone(), refused.last_handled_handover_request.as_deref()),
        (None, Some("noon"))
    );
    let (events, later) = happened(&refused, vec![pod(1, true, None), pod(2, true, None)]);
    assert!(
        events.iter().all(|event| event.reason != "HandoverRefused")
            && later.last_handled_handover_request.is_some()
    );
}

#[test]
fn a_renewal_changes_nothing() {
    let shot = |status: &SingletonJobStatus| job("Never", json!({}), status);
    let first = compute(&shot(&SingletonJobStatus::default()), Some(held()), vec![pod(2, true, None)]);
    let mut renewed = held();
    renewed.record.version = Version(50_000);
    renewed.record.renew_time = Some(now());
    renewed.observation.unchanged = Duration::ZERO;
    assert_eq!(compute(&shot(&first), Some(renewed), vec![pod(2, true, None)]), first);
}

/// Every file that makes an event.
fn told_from() -> Vec<PathBuf> {
    let controller = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/controller");
    let folder = fs::read_dir(controller.join("report/events")).expect("a folder");
    let in_folder = folder.map(|entry| entry.expect("readable").path());
    in_folder.chain([controller.join("report/events.rs"), controller.join("reconcile.rs")]).collect()
}

fn on_one_line(file: &Path) -> String {
    let source = fs::read_to_string(file).expect("readable");
    source.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(")
}

#[test]
fn every_event_is_documented_and_nothing_else() {
    let sources: Vec<_> = told_from().iter().map(|file| on_one_line(file)).collect();
    let told = ["normal(\"", "warning(\"", "reason: \""].iter().flat_map(|before| {
        let after = sources.iter().flat_map(move |source| source.split(before).skip(1));
        after.filter_map(|rest| rest.split_once('"').map(|(reason, _)| reason))
    });
    let told: std::collections::BTreeSet<_> = told.collect();
    let rows = include_str!("../../../docs/events.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    assert_eq!(rows.map(|(reason, _)| reason).collect::<std::collections::BTreeSet<_>>(), told);
}

#[test]
fn each_kind_of_complaint_of_an_agent_has_an_event_of_its_own() {
    let happened = |candidates: Vec<Candidate>, warnings: Value| {
        let lease = seen(Some("web-2_u2_0"), json!({"health": {"warnings": warnings}}), 1);
        let observed = Observed { lease: Some(lease), candidates, ..Observed::default() };
        let job = job("Never", json!({}), &SingletonJobStatus::default());
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let events = events::between(&context, context.old(), &status::compute(&context));
        let known = ["SelfTestFailed", "LeaseRenewalFailing", "FencingMarginLow"];
        let told = events
            .into_iter()
            .filter(|event| known.contains(&event.reason))
            .map(|event| (event.reason, event.note));
        told.collect::<Vec<_>>()
    };
    let complains = |failed_self_test| {
        let agent_error = candidate::AgentError { failed_self_test, message: "no".into() };
        vec![Candidate { agent_error: Some(agent_error), ..pod(3, false, None) }]
    };
    assert_eq!(happened(complains(true), json!([])), [("SelfTestFailed", "web-3: no".to_owned())]);
    assert_eq!(happened(complains(false), json!([])), [("LeaseRenewalFailing", "web-3: no".to_owned())]);
    assert_eq!(happened(vec![], json!(["late"])), [("FencingMarginLow", "late".to_owned())]);
}
