//! What status and events say of a run between its attempts.

use super::*;

fn policy() -> Value {
    json!({
        "leaseDurationSeconds": 15, "renewDeadlineMilliseconds": 8800, "gracePeriodMilliseconds": 2200, "retryPeriodMilliseconds": 2900,
        "completionPolicy": "OnSuccess", "backoffLimit": 0, "candidates": 2, "activeDeadlineSeconds": 600,
        "failurePolicy": {"rules": [{"operator": "In", "values": [43], "action": "Ignore"}], "forgiveLeaseLoss": true},
    })
}

fn progress(ignored: u32, started: &str) -> Value {
    json!({"uid": "j", "run": 1, "starts": ignored + 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true,
           "ignored": ignored, "startTime": started})
}

/// Held by 2 since 1 gave it back like this, or fell silent.
fn followed(ignored: u32, exit: Option<i32>) -> ObservedLease {
    let released = exit.map(|code| {
        json!({"leaseUid": "l", "renewTime": "2026-01-01T14:03:10Z", "by": "web-1_u1_0", "reason": "WorkloadFailed", "exit": {"code": code}})
    });
    let mut annotations = json!({"policy": policy(), "progress": progress(ignored, ACQUIRED)});
    annotations
        .as_object_mut()
        .expect("an object")
        .extend(released.map(|released| ("released".to_owned(), released)));
    seen(Some("web-2_u2_0"), annotations, 1)
}

#[test]
fn a_failure_that_is_ignored_is_told_once_with_the_rule_that_ignores_it() {
    let happened = |before: &SingletonJobStatus, lease: ObservedLease| {
        let observed =
            Observed { lease: Some(lease), candidates: vec![pod(2, true, None)], ..Observed::default() };
        let job = job("OnSuccess", json!({}), before);
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let after = status::compute(&context);
        let told = events::between(&context, before, &after)
            .into_iter()
            .filter(|event| event.reason == "WorkloadFailureIgnored");
        (told.map(|event| (event.warning, event.pod, event.note)).collect::<Vec<_>>(), after)
    };
    let (told, before) = happened(&SingletonJobStatus::default(), followed(0, None));
    assert_eq!(told, []);
    let (told, ignored) = happened(&before, followed(1, Some(43)));
    let note = "an attempt failed, and does not count towards spec.backoffLimit: exit code 43 in web-1 is ignored by spec.failurePolicy.rules[0]";
    assert_eq!(told, [(false, Some("web-1".to_owned()), note.to_owned())]);
    let run = ignored.run.clone().expect("it goes on");
    assert_eq!((run.failures, run.ignored_failures), (0, 1));
    assert_eq!(happened(&ignored, followed(1, Some(43))), (vec![], ignored.clone()));
    for not_ignored_by_a_rule in [None, Some(1)] {
        let (told, _) = happened(&ignored, followed(2, not_ignored_by_a_rule));
        assert!(
            told[0].2.ends_with(
                "its holder stopped renewing the Lease, which spec.failurePolicy.onLeaseLoss ignores"
            ),
            "{told:?}"
        );
    }
}

#[test]
fn a_run_out_of_time_says_so_while_no_candidate_writes_it_down() {
    let says = |started: &str, spec: Value, candidates: Vec<Candidate>| {
        let released = json!({"leaseUid": "l", "renewTime": "2026-01-01T14:09:59Z", "by": "web-2_u2_0", "reason": "WorkloadFailed"});
        let lease = seen(
            None,
            json!({"released": released, "progress": progress(0, started), "policy": policy()}),
            1,
        );
        let mut all = json!({"activeDeadlineSeconds": 600});
        all.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        let status = compute(&job("OnSuccess", all, &SingletonJobStatus::default()), Some(lease), candidates);
        let ready = find_condition(&status.conditions, types::READY).expect("there").clone();
        (ready.reason, ready.message, table(&status)[1].clone())
    };
    let (over, in_time) = ("2026-01-01T14:00:00Z", "2026-01-01T14:00:01Z");
    let unscheduled = || vec![pod(3, false, Some("ErrImagePull"))];
    let (reason, message, reconciling) = says(over, json!({}), unscheduled());
    let expected = "spec.activeDeadlineSeconds of 600 has passed: no candidate starts the workload any more, and the run fails as soon as the \
                    Lease is free or a candidate takes it; web-3: ErrImagePull: container main: no such image";
    assert_eq!((&*reason, &*message, reconciling), ("ErrImagePull", expected, is("True", "ErrImagePull")));
    let (reason, message, _) = says(over, json!({}), vec![]);
    assert!(reason == reasons::PENDING && message.ends_with("no candidate is ready"), "{reason}: {message}");
    for (started, spec, candidates) in [
        (in_time, json!({}), unscheduled()),
        (over, json!({"suspend": true}), unscheduled()),
        (over, json!({}), vec![pod(3, true, None)]),
    ] {
        let (_, message, _) = says(started, spec, candidates);
        assert!(!message.contains("has passed"), "{message}");
    }
}

#[test]
fn a_failure_names_its_pod_and_says_how_it_ended() {
    let told = |kind: &str, lease: ObservedLease, candidates: Vec<Candidate>, before: &SingletonJobStatus| {
        let observed = Observed { lease: Some(lease), candidates, ..Observed::default() };
        let job = job(kind, json!({}), before);
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let events = events::between(&context, before, &status::compute(&context));
        let failed = events.into_iter().find(|event| event.reason == "WorkloadFailed").expect("told");
        (failed.pod.unwrap_or_default(), failed.note)
    };
    let counted = |exit: Value, reason: &str| {
        let progress = json!({"uid": "j", "run": 1, "starts": 2, "failures": 1, "setbacks": 1, "retryAfterSeconds": 0, "open": true});
        let released = json!({"leaseUid": "l", "renewTime": "2026-01-01T14:03:10Z", "by": "web-1_u1_0", "reason": reason, "exit": exit});
        seen(Some("web-2_u2_0"), json!({"progress": progress, "released": released}), 1)
    };
    let new = SingletonJobStatus::default();
    let (pod, note) = told("OnSuccess", counted(json!({"code": 127}), "WorkloadFailed"), vec![], &new);
    let expected = "the workload failed in web-1: exit code 127 (command not found); its log says why; 1 of 2 attempts have failed, and \
                    spec.backoffLimit allows 6";
    assert_eq!((pod.as_str(), note.as_str()), ("web-1", expected));
    let (_, note) = told("Never", counted(json!({"signal": 9}), "WorkloadFailed"), vec![], &new);
    assert_eq!(note, "the workload failed in web-1: exit code 137 (SIGKILL); its log says why");
    let mut not_alive = counted(json!({"code": 0}), "WorkloadFailed");
    not_alive.record.annotations.released.as_mut().expect("given back").unhealthy = true;
    let (_, note) = told("Never", not_alive, vec![], &new);
    assert_eq!(note, "the workload failed in web-1: exit code 0 (Unhealthy); its log says why");
    let progress = json!({"uid": "j", "run": 1, "starts": 2, "failures": 1, "setbacks": 0, "retryAfterSeconds": 0, "open": true});
    let lost = seen(Some("web-2_u2_0"), json!({"progress": progress}), 1);
    let lease =
        LeaseStatus { holder: Some("web-1".into()), node: Some("node-b".into()), ..LeaseStatus::default() };
    let takeover =
        serde_json::from_value(json!({"to": "web-1", "reason": "InitialAcquire"})).expect("a takeover");
    let before = SingletonJobStatus { lease: Some(lease), takeovers: vec![takeover], ..new };
    let (pod, note) = told("Never", lost, vec![], &before);
    let expected = "web-1 on node node-b stopped renewing the Lease, and its attempt counts as failed; kubectl describe node node-b says \
                    whether that node is ready";
    assert_eq!((pod.as_str(), note.as_str()), ("web-1", expected));
}
