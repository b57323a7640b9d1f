//! Candidates that end before they can stand by, and runs that end with none.

use super::*;
use crate::api::status::RunOutcome;
use crate::controller::observe::candidate::{End, Phase};

/// As the kubelet leaves a container that it cannot start.
fn unstartable(number: u32) -> Candidate {
    let message = Some("failed to create containerd task: not a directory".to_owned());
    let end = End {
        succeeded: false,
        exit_code: Some(128),
        reason: Some("StartError".into()),
        message,
        at: Some(now()),
        fault_of_pod: None,
        disrupted: false,
    };
    Candidate { phase: Phase::Terminated(end), ..pod(number, false, None) }
}

#[test]
fn what_keeps_candidates_from_starting_is_said_at_once() {
    let one_shot = job("OnSuccess", json!({}), &SingletonJobStatus::default());
    let observed = Observed {
        lease: Some(seen(None, json!({}), 1)),
        candidates: vec![unstartable(1), unstartable(2)],
        ..Observed::default()
    };
    let context = ReportContext::new(&one_shot, &observed, &Plan::LeaveAlone, apply::nothing(), now());
    let status = status::compute(&context);
    let message = &find_condition(&status.conditions, types::READY).expect("there").message;
    assert_eq!(says(&status, types::READY), is("False", "StartError"));
    assert_eq!(
        message,
        "web-2 ended before it could stand by: exit code 128, StartError: failed to create containerd task: not a directory"
    );
    let events = events::between(&context, context.old(), &status);
    assert_eq!(events.iter().filter(|event| event.reason == "StandbyUnavailable").count(), 1);
}

#[test]
fn a_candidate_that_stands_by_since_makes_it_history() {
    let one_shot = job("OnSuccess", json!({}), &SingletonJobStatus::default());
    let candidates = vec![unstartable(1), pod(2, true, None)];
    let status = compute(&one_shot, Some(seen(None, json!({}), 1)), candidates);
    assert!(says(&status, types::READY).is_some_and(|(_, reason)| reason != "StartError"));
}

#[test]
fn a_run_that_the_controller_closed_has_failed_and_says_why() {
    let one_shot = job("OnSuccess", json!({"activeDeadlineSeconds": 60}), &SingletonJobStatus::default());
    let run = json!({"uid": "j", "number": 1, "desired": "Stop", "reason": "DeadlineExceeded"});
    let status = compute(&one_shot, Some(seen(None, json!({"run": run}), 1)), vec![unstartable(1)]);
    assert_eq!(table(&status), [is("False", reasons::FAILED), None, is("True", reasons::FAILED)]);
    assert_eq!(says(&status, types::FAILED), is("True", reasons::DEADLINE_EXCEEDED));
    let ended = &status.runs[0];
    assert_eq!((ended.number, ended.outcome, ended.attempts), (1, RunOutcome::Failed, 0));
    let message = ended.message.as_deref().unwrap_or_default();
    assert!(
        message.starts_with("spec.activeDeadlineSeconds of 60 passed") && message.contains("StartError"),
        "{message}"
    );
    let again = job("OnSuccess", json!({"activeDeadlineSeconds": 60}), &status);
    let later = compute(
        &again,
        Some(seen(
            None,
            json!({"run": json!({"uid": "j", "number": 1, "desired": "Stop", "reason": "DeadlineExceeded"})}),
            1,
        )),
        vec![],
    );
    assert_eq!(later.runs, status.runs, "it is told once");
}
