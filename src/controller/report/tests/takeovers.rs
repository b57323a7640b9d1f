//! Changes of hands between nodes whose times of day contradict each other.

use super::*;
use crate::controller::observe::lease_observations::Former;
use crate::lease::annotations::Reason;
use crate::lease::identity::Identity;

#[test]
fn a_workload_that_hands_over_by_its_exit_code_is_told_so() {
    let mark = json!({"leaseUid": "l", "renewTime": "2026-01-01T14:09:59Z", "by": "web-2_u2_0", "reason": "WorkloadSucceeded",
                      "token": "48213", "exit": {"code": 120}});
    let job = |status: &SingletonJobStatus| job("Never", json!({}), status);
    let free = seen(None, json!({"released": mark.clone()}), 1);
    let status = compute(&job(&SingletonJobStatus::default()), Some(free), vec![pod(1, true, None)]);
    let held = find_condition(&status.conditions, types::HELD).expect("there");
    assert_eq!(held.message, "web-2 gave the Lease back: its workload hands over by exit code 120");
    let taken = seen(Some("web-1_u1_0"), json!({"released": mark}), 1);
    let before = LeaseStatus { last_holder_identity: Some("web-2_u2_0".into()), ..LeaseStatus::default() };
    let status = compute(
        &job(&SingletonJobStatus { lease: Some(before), ..status }),
        Some(taken),
        vec![pod(1, true, None)],
    );
    assert_eq!(status.takeovers[0].reason, TakeoverReason::Handover);
}

#[test]
fn a_takeover_under_a_spec_that_is_refused_is_told_once() {
    let refused =
        |status: &SingletonJobStatus| job("OnSuccess", json!({"schedule": {"cron": "0 0 31 2 *"}}), status);
    let told =
        |status: &SingletonJobStatus| compute(&refused(status), Some(held()), vec![pod(2, true, None)]);
    let once = told(&SingletonJobStatus::default());
    assert_eq!(says(&once, types::STALLED), is("True", reasons::INVALID_SPEC));
    assert_eq!((once.takeovers.len(), &told(&once)), (1, &once));
}

/// The holder of now acquired at [`ACQUIRED`], by its node; the one before released at `released`, by its
/// own.
fn gap(released: &str, seen_both: Option<Duration>) -> Option<i64> {
    let mark = json!({"leaseUid": "l", "renewTime": released, "by": "web-1_u1_0", "reason": "Drain", "token": "48000"});
    let mut lease = seen(Some("web-2_u2_0"), json!({"released": mark}), 1);
    lease.observation.gap = seen_both;
    let before = LeaseStatus { last_holder_identity: Some("web-1_u1_0".into()), ..LeaseStatus::default() };
    let job =
        job("Never", json!({}), &SingletonJobStatus { lease: Some(before), ..SingletonJobStatus::default() });
    let status = compute(&job, Some(lease), vec![pod(2, true, None)]);
    assert_eq!(status.takeovers[0].fencing_token.as_deref(), Some("48213"));
    status.takeovers[0].gap_milliseconds
}

#[test]
fn a_taker_whose_clock_is_behind_keeps_its_gap_in_status() {
    let seen_both = Some(Duration::from_millis(40));
    assert_eq!(
        gap("2026-01-01T14:03:10.9Z", seen_both),
        Some(100),
        "by the times of day, as long as they make sense"
    );
    assert_eq!(gap("2026-01-01T15:00:00Z", seen_both), Some(40), "by the controller's clock");
    assert_eq!(gap("2026-01-01T15:00:00Z", None), None, "it is not known");
}

#[test]
fn a_stop_that_was_cut_short_is_told_with_what_to_do() {
    let told = |stopping: Option<Reason>, released: Value| {
        let mut lease = seen(Some("web-2_u2_0"), json!({"released": released}), 1);
        lease.observation.before =
            Some(Former { holder: Identity::read("web-1_u1_0"), renewed: None, stopping });
        let before =
            LeaseStatus { last_holder_identity: Some("web-1_u1_0".into()), ..LeaseStatus::default() };
        let job = job(
            "Never",
            json!({}),
            &SingletonJobStatus { lease: Some(before), ..SingletonJobStatus::default() },
        );
        let observed = Observed { lease: Some(lease), ..Observed::default() };
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let events = events::between(&context, context.old(), &status::compute(&context));
        events.into_iter().find(|event| event.reason == "StopCutShort")
    };
    let event = told(Some(Reason::Drain), Value::Null).expect("told");
    assert_eq!((event.warning, event.pod.as_deref()), (true, Some("web-1")));
    assert!(
        event.note.starts_with("web-1 was told to stop, Drain (its pod is ending), and lost the API server"),
        "{}",
        event.note
    );
    assert_eq!(told(None, Value::Null), None, "it fell silent");
    let given_back =
        json!({"leaseUid": "l", "renewTime": "2026-01-01T14:03:10Z", "by": "web-1_u1_0", "reason": "Drain"});
    assert_eq!(told(Some(Reason::Drain), given_back), None, "it stopped in time");
}

#[test]
fn one_event_tells_of_a_new_holder_and_its_attempt() {
    let progress = json!({"uid": "j", "run": 1, "starts": 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true});
    let told = |before: Option<&str>| {
        let lease = seen(Some("web-2_u2_0"), json!({"progress": progress}), 1);
        let before = before.map(|holder| LeaseStatus {
            last_holder_identity: Some(holder.into()),
            ..LeaseStatus::default()
        });
        let job =
            job("Never", json!({}), &SingletonJobStatus { lease: before, ..SingletonJobStatus::default() });
        let observed = Observed { lease: Some(lease), ..Observed::default() };
        let context = ReportContext::new(&job, &observed, &Plan::LeaveAlone, apply::nothing(), now());
        let events = events::between(&context, context.old(), &status::compute(&context));
        events.into_iter().map(|event| (event.reason, event.note)).collect::<Vec<_>>()
    };
    let first = "web-2 holds the Lease, token 48213; attempt 1 begins".to_owned();
    assert_eq!(told(None), [("LeaseAcquired", first)]);
    let next = told(Some("web-1_u1_0"));
    assert_eq!(next.len(), 1, "{next:?}");
    let (reason, note) = &next[0];
    assert_eq!(*reason, "TakeoverCompleted");
    assert!(note.starts_with("web-2 took over from web-1: "), "{note}");
    assert!(note.ends_with(", token 48213; attempt 1 begins"), "{note}");
}
