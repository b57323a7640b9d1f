//! The conditions of a schedule, and what events say of its runs.

use super::*;
use crate::api::status::RunOutcome;
use crate::controller::plan::run_plan::RunAnswer;

const TICK: &str = "2026-01-01T14:00:00Z";
const NEXT: &str = "2026-01-01T15:00:00Z";

pub(super) fn hourly(spec: Value, status: &SingletonJobStatus) -> SingletonJob {
    let mut all = json!({"schedule": {"cron": "@hourly"}});
    all.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    let mut job = job("OnSuccess", all, status);
    job.metadata.creation_timestamp =
        Some(format::to_seconds("2026-01-01T13:30:00Z".parse().expect("a time")));
    job
}

/// What the Lease says of run `number`, the one of 14:00, and of all ticks up to `settled`.
pub(super) fn annotations(number: u32, settled: &str, missed: u64) -> Value {
    let tick = (number > 0).then_some(TICK);
    json!({
        "run": {"uid": "j", "number": number, "desired": if number == 0 { "Stop" } else { "Run" }, "scheduledTime": tick},
        "ticks": {"uid": "j", "schedule": "@hourly UTC", "settled": settled, "last": tick, "missed": missed},
    })
}

pub(super) fn with(mut annotations: Value, more: Value) -> Value {
    annotations.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    annotations
}

pub(super) fn progress(number: u32) -> Value {
    json!({"progress": {"uid": "j", "run": number, "starts": 1, "failures": 0, "setbacks": 0, "retryAfterSeconds": 0, "open": true}})
}

/// How run 1 ended, with an empty Lease.
fn ended(outcome: &str) -> Value {
    let released = json!({"leaseUid": "l", "renewTime": "2026-01-01T14:09:59Z", "by": "web-2_u2_0", "reason": "WorkloadFailed"});
    json!({"finished": finished(outcome, "Completed", 0), "released": released})
}

pub(super) fn happened(
    job: &SingletonJob,
    lease: ObservedLease,
    candidates: Vec<Candidate>,
) -> (SingletonJobStatus, Vec<events::Event>) {
    let observed = Observed { lease: Some(lease), candidates, ..Observed::default() };
    let plan = plan::plan(job, &observed, now());
    let context = ReportContext::new(job, &observed, &plan, apply::nothing(), now());
    let status = status::compute(&context);
    let told = events::between(&context, context.old(), &status);
    (status, told)
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be absent")]
fn time(text: &str) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    Some(format::to_seconds(text.parse().expect("a time")))
}

#[test]
fn between_runs_it_is_ready_and_says_when_the_next_one_is_due() {
    let job = hourly(json!({}), &SingletonJobStatus::default());
    let (status, told) = happened(&job, seen(None, annotations(0, TICK, 0), 1), vec![]);
    assert_eq!(table(&status), [is("True", reasons::SCHEDULED), None, None]);
    let ready = find_condition(&status.conditions, types::READY).expect("there");
    assert_eq!(ready.message, format!("the next run is due at {NEXT}"));
    assert_eq!(
        (status.next_schedule_time, status.last_schedule_time, status.missed_runs),
        (time(NEXT), None, Some(0))
    );
    assert_eq!(
        (says(&status_of(&job), types::STANDBY_AVAILABLE), told),
        (None, vec![]),
        "no candidate is missing"
    );
    assert_eq!((status.run, status.runs.len(), status.start_time), (None, 0, None));
}

fn status_of(job: &SingletonJob) -> SingletonJobStatus {
    happened(job, seen(None, annotations(0, TICK, 0), 1), vec![]).0
}

#[test]
fn a_run_whose_takeover_waits_for_a_user_is_not_ready() {
    let silent = || seen(Some("web-2_u2_0"), with(annotations(1, TICK, 0), progress(1)), 20);
    let waits = |policy: &str, status: &SingletonJobStatus| {
        hourly(json!({"takeover": {"unreachableHolder": {"policy": policy}}}), status)
    };
    let (manual, _) =
        happened(&waits("Manual", &SingletonJobStatus::default()), silent(), vec![pod(1, true, None)]);
    assert_eq!(table(&manual), [is("False", reasons::EXPIRED), is("True", reasons::EXPIRED), None]);
    let (mut soon, _) = happened(
        &waits("AfterLeaseExpiry", &SingletonJobStatus::default()),
        silent(),
        vec![pod(1, true, None)],
    );
    assert_eq!(table(&soon)[0], is("True", reasons::PENDING));
    for condition in &mut soon.conditions {
        condition.last_transition_time.0 = now() - Duration::from_secs(45);
    }
    let (late, _) = happened(&waits("AfterLeaseExpiry", &soon), silent(), vec![pod(1, true, None)]);
    assert_eq!(table(&late)[0], is("False", reasons::EXPIRED));
}

#[test]
fn a_run_that_goes_on_is_ready_too_and_one_that_cannot_start_is_not() {
    let job = hourly(json!({}), &SingletonJobStatus::default());
    let (running, told) = happened(
        &job,
        seen(Some("web-2_u2_0"), with(annotations(1, TICK, 0), progress(1)), 1),
        vec![pod(2, true, None)],
    );
    assert_eq!(table(&running), [is("True", reasons::RUNNING), None, None]);
    let run = running.run.clone().expect("it goes on");
    assert_eq!((run.number, run.scheduled_time.clone(), run.attempts), (1, time(TICK), 1));
    assert_eq!(running.takeovers[0].reason, TakeoverReason::InitialAcquire);
    assert!(told.iter().all(|event| event.reason != "TakeoverCompleted"), "{told:?}");
    let at_rest = with(annotations(1, TICK, 0), ended("Failed"));
    for annotations in [annotations(1, TICK, 0), at_rest] {
        let (stuck, _) =
            happened(&job, seen(None, annotations, 1), vec![pod(3, false, Some("ErrImagePull"))]);
        assert_eq!(table(&stuck), [is("False", "ErrImagePull"), is("True", "ErrImagePull"), None]);
    }
}

#[test]
fn how_the_last_run_ended_is_a_condition_of_its_own() {
    let job = |status: &SingletonJobStatus| hourly(json!({}), status);
    let none = status_of(&job(&SingletonJobStatus::default()));
    assert_eq!(says(&none, types::LAST_RUN_SUCCEEDED), is("Unknown", reasons::NO_RUN));
    let (running, _) = happened(
        &job(&none),
        seen(Some("web-2_u2_0"), with(annotations(1, TICK, 0), progress(1)), 1),
        vec![],
    );
    for (outcome, succeeded, event) in
        [("Succeeded", "True", "RunSucceeded"), ("Failed", "False", "RunFailed")]
    {
        let over = seen(None, with(with(annotations(1, TICK, 0), progress(1)), ended(outcome)), 1);
        let (status, told) = happened(&job(&running), over.clone(), vec![]);
        assert_eq!(table(&status), [is("True", reasons::SCHEDULED), None, None]);
        assert_eq!(says(&status, types::LAST_RUN_SUCCEEDED), is(succeeded, "Completed"));
        assert_eq!(
            (says(&status, types::COMPLETE), says(&status, types::FAILED), status.completion_time.clone()),
            (None, None, None)
        );
        assert_eq!(
            (status.runs[0].scheduled_time.clone(), status.runs[0].attempts, status.run.clone()),
            (time(TICK), 1, None)
        );
        assert_eq!(told.iter().filter(|told| told.reason == event).count(), 1, "{told:?}");
        let (again, told) = happened(&job(&status), over, vec![]);
        assert_eq!((again, told), (status, vec![]), "a second look changes nothing");
    }
}

#[test]
fn a_standby_is_missed_during_a_run_and_not_when_all_are_made_anew() {
    let job = |status: &SingletonJobStatus| {
        hourly(json!({"schedule": {"cron": "@hourly", "candidates": "Always"}}), status)
    };
    let run = with(annotations(1, TICK, 0), progress(1));
    let during = || seen(Some("web-2_u2_0"), run.clone(), 1);
    let (running, _) = happened(
        &job(&SingletonJobStatus::default()),
        during(),
        vec![pod(1, true, None), pod(2, true, None)],
    );
    assert_eq!(says(&running, types::STANDBY_AVAILABLE), is("True", reasons::AS_EXPECTED));
    let misses = |lease: ObservedLease, candidates: Vec<Candidate>| {
        let (_, told) = happened(&job(&running), lease, candidates);
        told.iter().filter(|told| told.reason == "StandbyUnavailable").count()
    };
    assert_eq!(misses(during(), vec![pod(2, true, None), pod(3, false, None)]), 1);
    let over = seen(None, with(run.clone(), ended("Succeeded")), 1);
    assert_eq!(misses(over.clone(), vec![pod(3, false, None), pod(4, false, None)]), 0);
    assert_eq!(misses(over, vec![pod(3, false, Some("ErrImagePull"))]), 1, "one that cannot start");
}

#[test]
fn a_run_that_gives_way_is_replaced_and_neither_success_nor_failure() {
    let spec = json!({"schedule": {"cron": "*/5 * * * *", "concurrencyPolicy": "Replace"}});
    let annotations = |settled: &str| {
        let mut annotations = with(annotations(1, settled, 0), progress(1));
        annotations["ticks"]["schedule"] = json!("*/5 * * * * UTC");
        annotations
    };
    let (running, _) = happened(
        &hourly(spec.clone(), &SingletonJobStatus::default()),
        seen(Some("web-2_u2_0"), annotations("2026-01-01T14:10:00Z"), 1),
        vec![pod(2, true, None)],
    );
    assert_eq!(running.run.as_ref().map(|run| run.number), Some(1));
    let job = hourly(spec, &running);
    let (status, told) = happened(
        &job,
        seen(Some("web-2_u2_0"), annotations("2026-01-01T14:05:00Z"), 1),
        vec![pod(2, true, None)],
    );
    let run = &status.runs[0];
    assert_eq!(
        (run.number, run.outcome, run.pod.as_deref(), run.attempts),
        (1, RunOutcome::Replaced, Some("web-2"), 1)
    );
    assert_eq!(
        (status.succeeded_runs, status.failed_runs, status.run.map(|run| run.number)),
        (Some(0), Some(0), Some(2))
    );
    assert!(
        told.iter().any(|event| event.reason == "RunReplaced"
            && event.note.contains("run 1: the controller stopped it for run 2")),
        "{told:?}"
    );
}

#[test]
fn runs_are_counted_beyond_those_that_are_listed() {
    let runs: Vec<_> = (1..=10)
        .rev()
        .map(|number| json!({"number": number, "outcome": "Succeeded", "attempts": 1}))
        .collect();
    let before: SingletonJobStatus =
        serde_json::from_value(json!({"runs": runs, "succeededRuns": 40, "failedRuns": 2}))
            .expect("a status");
    let mut all = with(annotations(11, TICK, 0), ended("Succeeded"));
    all["finished"]["run"] = json!(11);
    let (status, _) = happened(&hourly(json!({}), &before), seen(None, all, 1), vec![]);
    assert_eq!(
        (status.runs.len(), status.runs[0].number, status.succeeded_runs, status.failed_runs),
        (10, 11, Some(41), Some(2))
    );
}

#[test]
fn missed_ticks_are_told_once_and_with_the_reason_where_it_is_known() {
    let job = |status: &SingletonJobStatus| {
        hourly(json!({"schedule": {"cron": "@hourly", "startingDeadlineSeconds": 60}}), status)
    };
    let before = SingletonJobStatus { missed_runs: Some(2), ..SingletonJobStatus::default() };
    let missed = |events: &[events::Event]| {
        events.iter().find(|event| event.reason == "RunMissed").map(|event| event.note.clone())
    };
    let (status, told) =
        happened(&job(&before), seen(None, annotations(0, "2026-01-01T13:30:00Z", 2), 1), vec![]);
    let why = "1 tick was missed, that of 2026-01-01T14:00:00Z: the controller noticed it later than spec.schedule.startingDeadlineSeconds allows";
    assert_eq!((status.missed_runs, missed(&told).as_deref()), (Some(3), Some(why)));
    let written = seen(None, annotations(0, TICK, 3), 1);
    let (_, told) = happened(&job(&before), written.clone(), vec![]);
    let unexplained = "1 tick was missed (counted in status.missedRuns): an earlier reconciliation decided that, and could not report why";
    assert_eq!(missed(&told).as_deref(), Some(unexplained));
    assert_eq!(missed(&happened(&job(&status), written, vec![]).1), None);
}

#[test]
fn suspended_it_is_ready_and_has_no_next_run() {
    let job = hourly(json!({"suspend": true}), &SingletonJobStatus::default());
    let (status, _) = happened(&job, seen(None, annotations(0, TICK, 0), 1), vec![]);
    assert_eq!(
        (table(&status), status.next_schedule_time.clone()),
        ([is("True", reasons::SUSPENDED), None, None], None)
    );
    let (running, _) = happened(
        &job,
        seen(Some("web-2_u2_0"), with(annotations(1, TICK, 0), progress(1)), 1),
        vec![pod(2, true, None)],
    );
    assert_eq!(
        (says(&running, types::READY), says(&running, types::SUSPENDED)),
        (is("True", reasons::RUNNING), is("True", reasons::SUSPENDED))
    );
}

#[test]
fn a_request_that_is_refused_is_told_and_remembered() {
    let status = SingletonJobStatus { observed_generation: Some(1), ..SingletonJobStatus::default() };
    let mut job = hourly(json!({}), &status);
    job.metadata.annotations =
        Some([("singletonjob.dev/run-requested-at".to_owned(), "now".to_owned())].into());
    let lease = seen(Some("web-2_u2_0"), with(annotations(1, TICK, 0), progress(1)), 1);
    let (after, told) = happened(&job, lease.clone(), vec![pod(2, true, None)]);
    assert_eq!(after.last_handled_run_request.as_deref(), Some("now"));
    assert!(
        told.iter()
            .any(|event| event.reason == "RunRequestRefused" && event.note.contains("run 1 is going on")),
        "{told:?}"
    );
    job.status = Some(after);
    let observed = Observed { lease: Some(lease), ..Observed::default() };
    let Plan::Act(act) = plan::plan(&job, &observed, now()) else { panic!("nothing to refuse") };
    assert!(act.run.request.is_none_or(|request| request.answer == RunAnswer::Past));
}
