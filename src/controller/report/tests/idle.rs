//! A job that wants no candidates misses none.

use super::*;

/// The last is another candidate that hangs.
fn candidates() -> Vec<Candidate> {
    vec![pod(2, true, None), pod(3, false, Some("ErrImagePull"))]
}

fn look(job: &SingletonJob, lease: ObservedLease) -> (SingletonJobStatus, Vec<events::Event>) {
    let observed = Observed { lease: Some(lease), candidates: candidates(), ..Observed::default() };
    let plan = plan::plan(job, &observed, now());
    let context = ReportContext::new(job, &observed, &plan, apply::nothing(), now());
    let status = status::compute(&context);
    let told = events::between(&context, context.old(), &status);
    (status, told)
}

#[test]
fn a_finished_a_suspended_and_a_scaled_down_job_misses_no_standby() {
    let over = || released(&Value::Null, &finished("Succeeded", "Completed", 0));
    let failed = || released(&Value::Null, &finished("Failed", "BackoffLimitExceeded", 1));
    let table = [
        ("succeeded", "OnSuccess", json!({}), over()),
        ("failed", "OnSuccess", json!({}), failed()),
        ("a suspended service", "Never", json!({"suspend": true}), held()),
        ("a suspended one-shot", "OnSuccess", json!({"suspend": true}), held()),
        ("a service scaled to 0", "Never", json!({"replicas": 0}), held()),
        ("a one-shot scaled to 0", "OnSuccess", json!({"replicas": 0}), held()),
    ];
    for (what, kind, spec, lease) in table {
        let running = compute(
            &job(kind, json!({}), &SingletonJobStatus::default()),
            Some(held()),
            vec![pod(1, true, None), pod(2, true, None)],
        );
        assert_eq!(
            says(&running, types::STANDBY_AVAILABLE),
            is("True", reasons::AS_EXPECTED),
            "{what}: before"
        );
        let (status, told) = look(&job(kind, spec, &running), lease);
        assert_eq!(says(&status, types::STANDBY_AVAILABLE), None, "{what}");
        assert!(told.iter().all(|event| event.reason != "StandbyUnavailable"), "{what}: {told:?}");
    }
}

#[test]
fn a_job_that_is_resumed_misses_its_standbys_again() {
    let (suspended, _) =
        look(&job("Never", json!({"suspend": true}), &SingletonJobStatus::default()), held());
    let (resumed, told) = look(&job("Never", json!({}), &suspended), held());
    assert_eq!(says(&resumed, types::STANDBY_AVAILABLE), is("False", "NoneReady"));
    assert_eq!(told.iter().filter(|event| event.reason == "StandbyUnavailable").count(), 1);
}
