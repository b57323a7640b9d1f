//! What status and events say while the holder is silent, or not known.

use super::*;

fn waits_by(policy: &str, status: &SingletonJobStatus) -> SingletonJob {
    job("Never", json!({"takeover": {"unreachableHolder": {"policy": policy, "delaySeconds": 30}}}), status)
}

fn both() -> Vec<Candidate> {
    vec![pod(1, true, None), pod(2, true, None)]
}

fn silent(unchanged: u64) -> ObservedLease {
    seen(Some("web-2_u2_0"), json!({}), unchanged)
}

/// The status while web-2 held the Lease.
fn before(job: impl Fn(&SingletonJobStatus) -> SingletonJob) -> SingletonJobStatus {
    compute(&job(&SingletonJobStatus::default()), Some(held()), both())
}

fn roles(status: &SingletonJobStatus) -> Vec<CandidateRole> {
    status.candidates.iter().map(|candidate| candidate.role).collect()
}

#[test]
fn a_service_is_not_ready_as_soon_as_a_takeover_waits_for_confirmation() {
    for policy in ["AfterPodGone", "Manual"] {
        let before = before(|status| waits_by(policy, status));
        assert_eq!(table(&before)[0], is("True", reasons::HELD));
        let after = compute(&waits_by(policy, &before), Some(silent(16)), both());
        assert_eq!(
            table(&after),
            [is("False", reasons::EXPIRED), is("True", reasons::EXPIRED), None],
            "{policy}"
        );
        let ready = find_condition(&after.conditions, types::READY).expect("there");
        assert!(ready.message.ends_with("see the condition TakeoverBlocked"), "{}", ready.message);
    }
}

#[test]
fn a_delay_changes_nothing_until_patience_ends() {
    let before = before(|status| waits_by("AfterLeaseExpiry", status));
    let mut during = compute(&waits_by("AfterLeaseExpiry", &before), Some(silent(16)), both());
    assert_eq!(table(&during), table(&before));
    for condition in &mut during.conditions {
        condition.last_transition_time.0 = now() - Duration::from_secs(45);
    }
    let after = compute(&waits_by("AfterLeaseExpiry", &during), Some(silent(62)), both());
    assert_eq!(table(&after)[0], is("False", reasons::EXPIRED));
}

#[test]
fn the_controller_looks_again_when_patience_ends() {
    let before = before(|status| waits_by("AfterLeaseExpiry", status));
    let mut during = compute(&waits_by("AfterLeaseExpiry", &before), Some(silent(16)), both());
    for condition in &mut during.conditions {
        condition.last_transition_time.0 = now() - Duration::from_secs(44);
    }
    let observed = Observed { lease: Some(silent(60)), candidates: both(), ..Observed::default() };
    let Plan::Act(act) = plan::plan(&waits_by("AfterLeaseExpiry", &during), &observed, now()) else {
        panic!("nothing refuses it")
    };
    assert_eq!(act.next_look, Some(Duration::from_secs(1)));
}

#[test]
fn whoever_may_still_run_is_no_standby() {
    let before = before(|status| waits_by("Manual", status));
    let emptied = Some(seen(None, json!({}), 1));
    let mut again = silent(1);
    again.record.acquire_time = None;
    for (what, lease) in
        [("silent", Some(silent(16))), ("emptied", emptied), ("made again", Some(again)), ("missing", None)]
    {
        let after = compute(&waits_by("Manual", &before), lease, both());
        assert_eq!(
            (after.ready_standbys, roles(&after)),
            (Some(1), vec![CandidateRole::Standby, CandidateRole::Pending]),
            "{what}"
        );
    }
    let mark = json!({"leaseUid": "l", "renewTime": "2026-01-01T14:09:59Z", "by": "web-2_u2_0", "reason": "Handover"});
    let released =
        compute(&waits_by("Manual", &before), Some(seen(None, json!({"released": mark}), 1)), both());
    assert_eq!(released.ready_standbys, Some(2));
}

#[test]
fn a_pod_that_made_its_attempt_is_no_standby_before_the_kubelet_knows() {
    let mut candidates = both();
    candidates[0].has_held = true;
    let status = compute(
        &job("OnSuccess", json!({}), &SingletonJobStatus::default()),
        Some(held()),
        candidates.clone(),
    );
    assert_eq!(
        (status.ready_standbys, roles(&status)),
        (Some(0), vec![CandidateRole::Pending, CandidateRole::Active])
    );
    let status = compute(&job("Never", json!({}), &SingletonJobStatus::default()), Some(held()), candidates);
    assert_eq!(status.ready_standbys, Some(1), "a service's container was started again");
}

#[test]
fn a_name_that_is_no_candidates_is_told_and_no_holder() {
    let service = |status: &SingletonJobStatus| job("Never", json!({}), status);
    let before = before(service);
    let look = |status: &SingletonJobStatus| {
        let job = service(status);
        let observed = Observed {
            lease: Some(seen(Some("app"), json!({}), 1)),
            candidates: both(),
            ..Observed::default()
        };
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let after = status::compute(&context);
        (events::between(&context, status, &after), after)
    };
    let (told, after) = look(&before);
    let message = "a client wrote app, which is no candidate, into the Lease: candidates wait 15 s before they take over; find out which \
                   client writes this Lease";
    let held = find_condition(&after.conditions, types::HELD).expect("there");
    assert_eq!(
        (held.status.as_str(), held.reason.as_str(), held.message.as_str()),
        ("False", reasons::FOREIGN_HOLDER, message)
    );
    let told: Vec<_> = told.iter().map(|event| (event.reason, event.warning, event.note.as_str())).collect();
    assert_eq!(told, [("ForeignHolder", true, message)]);
    let lease = after.lease.clone().expect("a Lease");
    assert_eq!((lease.holder, lease.last_holder_identity.as_deref()), (None, Some("web-2_u2_0")));
    assert_eq!(after.takeovers, before.takeovers);
    assert_eq!(look(&after).0, [], "once");
}

#[test]
fn a_run_that_a_failed_pod_used_up_says_what_the_kubelet_said_of_it() {
    let failed = json!([{"uid": "u1", "name": "web-1", "reason": "Evicted", "message": "Usage of EmptyDir volume \"x\" exceeds the limit \"1Mi\"."}]);
    let run = json!({"uid": "j", "number": 1, "desired": "Run", "failedPods": failed});
    let says = |finished: Value, released: Value| {
        let mut all = finished_by(finished);
        all["reason"] = json!("BackoffLimitExceeded");
        let lease = seen(None, json!({"finished": all, "run": run, "released": released}), 1);
        let status =
            compute(&job("OnSuccess", json!({}), &SingletonJobStatus::default()), Some(lease), vec![]);
        status.runs[0].message.clone().unwrap_or_default()
    };
    let mark = |reason: &str| json!({"leaseUid": "l", "renewTime": "2026-01-01T14:09:59Z", "by": "web-2_u2_0", "reason": reason});
    let kubelet =
        "the kubelet ended web-1 (Evicted: Usage of EmptyDir volume \"x\" exceeds the limit \"1Mi\")";
    assert_eq!(says(json!({"exit": {"signal": 15}}), mark("Stopped")), kubelet);
    assert_eq!(says(json!({"exit": null, "token": null}), mark("WorkloadFailed")), kubelet);
    assert_eq!(says(json!({"exit": {"code": 1}}), mark("WorkloadFailed")), "attempt 1 in web-2: exit code 1");
}

fn finished_by(more: Value) -> Value {
    let mut all = finished("Failed", "BackoffLimitExceeded", 1);
    all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    all
}

/// An outcome that web-2 recorded beside something that survives its kill.
fn recorded(finished: &Value) -> ObservedLease {
    let progress = json!({"uid": "j", "run": 1, "starts": 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": false});
    seen(
        Some("web-2_u2_0"),
        json!({"health": {"token": "48213"}, "progress": progress, "finished": finished, "run": {"uid": "j", "number": 1, "desired": "Run"}}),
        1,
    )
}

fn held_says(status: &SingletonJobStatus) -> (String, String) {
    let held = find_condition(&status.conditions, types::HELD).expect("there");
    assert_eq!(held.status, "False");
    (held.reason.clone(), held.message.clone())
}

#[test]
fn an_outcome_recorded_and_not_given_back_is_told_with_what_follows() {
    let once = |status: &SingletonJobStatus| job("OnSuccess", json!({}), status);
    let before = before(once);
    let again = compute(&once(&before), Some(recorded(&json!(null))), both());
    let how = "web-2 recorded how its attempt ended and could not give the Lease back, because a process in its container survived SIGKILL; ";
    assert_eq!(
        held_says(&again),
        (
            reasons::OUTCOME_RECORDED.to_owned(),
            format!("{how}candidates wait 15 s before one starts the next attempt")
        )
    );
    let finished = json!({
        "uid": "j", "run": 1, "outcome": "Succeeded", "reason": "Completed", "exit": {"code": 0}, "attempt": 1, "failures": 0,
        "by": "web-2_u2_0", "completionTime": ACQUIRED,
    });
    let done = compute(&once(&before), Some(recorded(&finished)), both());
    assert_eq!(held_says(&done).1, format!("{how}no attempt follows"));
    assert_eq!(table(&done)[0], is("True", reasons::COMPLETE));
}

#[test]
fn a_lease_whose_tokens_would_fall_is_said_to_be_acquired_by_no_candidate() {
    let service = |status: &SingletonJobStatus| job("Never", json!({}), status);
    let policy = |floor: &str| {
        json!({"leaseDurationSeconds": 15, "renewDeadlineMilliseconds": 8800, "gracePeriodMilliseconds": 2200,
        "retryPeriodMilliseconds": 2900, "completionPolicy": "Never", "backoffLimit": 0, "candidates": 2, "tokenFloor": floor})
    };
    let says = |floor| {
        held_says(&compute(
            &service(&SingletonJobStatus::default()),
            Some(seen(None, json!({"policy": policy(floor)}), 1)),
            both(),
        ))
    };
    let (reason, message) = says("48290");
    assert_eq!(reason, reasons::TOKEN_TOO_LOW);
    assert!(message.contains("its resourceVersion 48290 is not above 48290"), "{message}");
    assert_eq!(says("48289").0, reasons::QUARANTINED);
}
