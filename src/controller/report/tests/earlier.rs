//! The controller tells what agents of an earlier version reported as if they reported it today.

use super::*;
use crate::api::status::RunOutcome;
use crate::controller::observe::lease_observations::LeaseObservations;
use crate::lease::clock::Moment;

macro_rules! kept {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/contract/0.0.0/", $name, ".json"))
    };
}

fn told(completion_policy: &str, lease: &str) -> SingletonJobStatus {
    let mut job = job(completion_policy, json!({}), &SingletonJobStatus::default());
    job.metadata.name = Some("rollup".to_owned());
    job.metadata.uid = Some("5f0c2f6e-0b1a-4b43-9d2f-3f1c8e7a6d51".to_owned());
    let object = serde_json::from_str(lease).expect("a Lease");
    let record = Record::read(&object).expect("a record");
    let observation =
        LeaseObservations::default().observation("billing", "rollup", &record, Moment::default());
    compute(
        &job,
        Some(ObservedLease { object, record, observation }),
        vec![pod(8, true, None), pod(9, true, None)],
    )
}

#[test]
fn a_holder_of_an_earlier_version_shows_in_status_with_its_warnings() {
    let status = told("Never", kept!("service/05-renewed-with-a-warning"));
    let lease = status.lease.as_ref().expect("a Lease");
    assert_eq!((lease.holder.as_deref(), lease.fencing_token.as_deref()), (Some("rollup-1"), Some("300")));
    assert_eq!(says(&status, types::HELD), is("True", reasons::HELD));
    let health = find_condition(&status.conditions, types::AGENT_HEALTHY).expect("a warning");
    assert!(health.status == "False" && health.message.contains("wakes up to 1000 ms late"), "{health:?}");
}

#[test]
fn a_change_of_hands_between_agents_of_an_earlier_version_has_its_reason() {
    assert_eq!(
        says(&told("Never", kept!("service/07-handed-over")), types::HELD),
        is("False", reasons::RELEASED)
    );
    let status = told("Never", kept!("service/08-taken-over"));
    assert_eq!(status.takeovers.first().map(|takeover| takeover.reason), Some(TakeoverReason::RolledOut));
}

#[test]
fn runs_of_agents_of_an_earlier_version_are_counted_and_closed() {
    let run = told("OnSuccess", kept!("one-shot/04-failed")).run.expect("it goes on");
    assert_eq!((run.attempts, run.failures), (1, 1));
    for (lease, outcome) in [
        (kept!("one-shot/06-succeeded"), RunOutcome::Succeeded),
        (kept!("limit/04-used-up"), RunOutcome::Failed),
    ] {
        assert_eq!(told("OnSuccess", lease).runs.first().map(|run| run.outcome), Some(outcome));
    }
}
