//! What conditions and events say of what the API server refuses.

use super::*;
use crate::controller::refusals::{Refused, Step};

fn happened(
    job: &SingletonJob,
    observed: &Observed,
    refused: &[Refused],
    failed: Option<&str>,
) -> (SingletonJobStatus, Vec<&'static str>) {
    let plan = plan::plan(job, observed, now());
    let applied =
        Applied { refused: refused.to_vec(), failed: failed.map(str::to_owned), ..apply::nothing() };
    let context = ReportContext::new(job, observed, &plan, applied, now());
    let status = status::compute(&context);
    let events = events::between(&context, context.old(), &status);
    (status, events.into_iter().map(|event| event.reason).collect())
}

fn no(step: Step) -> Refused {
    Refused { step, subject: String::new(), message: "no such thing here".into() }
}

#[test]
fn what_must_be_there_before_the_first_pod_stalls_the_job() {
    let service = job("Never", json!({}), &SingletonJobStatus::default());
    for (step, reason) in [
        (Step::MakeLease, "LeaseRefused"),
        (Step::GrantRole, "RoleRefused"),
        (Step::BindRole, "RoleBindingRefused"),
    ] {
        let (status, events) = happened(&service, &Observed::default(), &[no(step)], None);
        assert_eq!(table(&status), [is("False", reason), None, is("True", reason)]);
        assert_eq!(
            (says(&status, types::OBJECT_REFUSED), events),
            (is("True", reason), vec!["ObjectRefused"])
        );
        let message = &find_condition(&status.conditions, types::STALLED).expect("there").message;
        assert!(
            message.contains("no such thing here") && message.contains("asks again within 5 min"),
            "{message}"
        );
        let again = job("Never", json!({}), &status);
        let (_, events) = happened(&again, &Observed::default(), &[no(step)], None);
        assert_eq!(events, Vec::<&str>::new(), "it is told once");
    }
}

#[test]
fn what_a_job_can_run_without_leaves_it_ready() {
    let service = job("Never", json!({}), &SingletonJobStatus::default());
    let observed = Observed {
        lease: Some(held()),
        candidates: vec![pod(1, true, None), pod(2, true, None)],
        ..Observed::default()
    };
    for (step, reason) in [
        (Step::GuardDrains, "PodDisruptionBudgetRefused"),
        (Step::BindRole, "RoleBindingRefused"),
        (Step::Annotate, "LeaseRefused"),
        (Step::Label, "PodRefused"),
    ] {
        let (status, events) = happened(&service, &observed, &[no(step)], None);
        assert_eq!(table(&status), [is("True", reasons::HELD), None, None]);
        assert_eq!(says(&status, types::OBJECT_REFUSED), is("True", reason));
        assert!(events.contains(&"ObjectRefused"));
        let (status, _) = happened(&job("Never", json!({}), &status), &observed, &[], None);
        assert_eq!(says(&status, types::OBJECT_REFUSED), None);
    }
}

#[test]
fn a_refused_pod_is_quoted_and_so_is_an_api_server_that_fails() {
    let service = job("Never", json!({}), &SingletonJobStatus::default());
    let (status, events) = happened(&service, &Observed::default(), &[no(Step::MakePod)], None);
    assert_eq!(says(&status, types::READY), is("False", "FailedCreate"));
    assert_eq!((says(&status, types::OBJECT_REFUSED), events), (None, vec!["StandbyUnavailable"]));
    let (status, _) = happened(
        &service,
        &Observed::default(),
        &[],
        Some("creating Pod web-1: failed calling webhook (500)"),
    );
    assert_eq!(says(&status, types::READY), is("False", "RequestFailed"));
}

#[test]
fn what_the_lease_does_not_say_is_not_said_in_status() {
    let told = json!({"cron": "*/10 * * * *"});
    let before = SingletonJobStatus {
        missed_runs: Some(3),
        observed_generation: Some(2),
        ..SingletonJobStatus::default()
    };
    let scheduled = job("OnSuccess", json!({"schedule": told}), &before);
    let observed = Observed { lease: Some(seen(None, json!({}), 1)), ..Observed::default() };
    let plan = plan::plan(&scheduled, &observed, now());
    let applied = Applied { refused: vec![no(Step::Annotate)], directives_stored: false, ..apply::nothing() };
    let context = ReportContext::new(&scheduled, &observed, &plan, applied, now());
    let status = status::compute(&context);
    assert_eq!((status.missed_runs, status.next_schedule_time.clone()), (Some(3), None));
    assert_eq!(says(&status, types::OBJECT_REFUSED), is("True", "LeaseRefused"));
}

#[test]
fn a_job_that_is_suspended_or_over_is_not_stalled_by_it() {
    let suspended = job("Never", json!({"suspend": true}), &SingletonJobStatus::default());
    let (status, _) = happened(&suspended, &Observed::default(), &[no(Step::BindRole)], None);
    assert_eq!(table(&status), [is("True", reasons::SUSPENDED), None, None]);
}

#[test]
fn every_refused_object_is_named_with_its_use() {
    let running = || Observed {
        lease: Some(held()),
        candidates: vec![pod(1, true, None), pod(2, true, None)],
        ..Observed::default()
    };
    let table = [
        (
            Step::MakeLease,
            "LeaseRefused",
            "candidates agree through the Lease which of them runs the workload",
            true,
        ),
        (Step::Annotate, "LeaseRefused", "reach the candidates through the Lease", false),
        (Step::GrantRole, "RoleRefused", "the Role lets candidates read and renew the Lease", true),
        (
            Step::BindRole,
            "RoleBindingRefused",
            "gives the pods' service account the right to renew the Lease",
            true,
        ),
        (
            Step::GuardDrains,
            "PodDisruptionBudgetRefused",
            "makes a drain wait until a standby is ready",
            false,
        ),
    ];
    let service = job("Never", json!({}), &SingletonJobStatus::default());
    for (step, reason, purpose, is_needed) in table {
        for (observed, stalls) in [(Observed::default(), is_needed), (running(), false)] {
            let (status, events) = happened(&service, &observed, &[no(step)], None);
            let refused = find_condition(&status.conditions, types::OBJECT_REFUSED).expect("there");
            assert_eq!((refused.status.as_str(), refused.reason.as_str()), ("True", reason));
            let words =
                ["no such thing here", purpose, "change the quota, policy or webhook that refuses it"];
            assert!(words.iter().all(|words| refused.message.contains(words)), "{}", refused.message);
            let stalled = if stalls { is("True", reason) } else { is("False", reasons::AS_EXPECTED) };
            assert_eq!(says(&status, types::STALLED), stalled, "{step:?}, stalls: {stalls}");
            let ready = says(&status, types::READY).expect("always there");
            assert_eq!(ready.0 == "True", !observed.candidates.is_empty(), "{step:?}: {ready:?}");
            assert_eq!(events.iter().filter(|event| **event == "ObjectRefused").count(), 1);
        }
    }
}

#[test]
fn two_refused_objects_are_both_named_and_one_event_tells_them() {
    let service = job("Never", json!({}), &SingletonJobStatus::default());
    let (status, events) =
        happened(&service, &Observed::default(), &[no(Step::GrantRole), no(Step::GuardDrains)], None);
    let message = &find_condition(&status.conditions, types::OBJECT_REFUSED).expect("there").message;
    assert!(
        message.contains("the Role lets candidates")
            && message.contains("the PodDisruptionBudget makes a drain"),
        "{message}"
    );
    assert_eq!(
        (says(&status, types::OBJECT_REFUSED), events),
        (is("True", "RoleRefused"), vec!["ObjectRefused"])
    );
}
