//! Requests by annotation that ask for nothing, and say so.

use super::*;
use crate::api::takeover::CLEARED_HOLDER;
use crate::contract::labels::{HANDOVER_REQUESTED_AT, RUN_REQUESTED_AT};

/// What the controller tells by `reason` of a job that carries `annotation`, and the status after that.
fn told(
    reason: &str,
    mut job: SingletonJob,
    annotation: (&str, &str),
    lease: ObservedLease,
) -> (Vec<String>, SingletonJobStatus) {
    job.metadata.annotations = Some([(annotation.0.to_owned(), annotation.1.to_owned())].into());
    let observed = Observed {
        lease: Some(lease),
        candidates: vec![pod(1, true, None), pod(2, true, None)],
        ..Observed::default()
    };
    let plan = plan::plan(&job, &observed, now());
    let context = ReportContext::new(&job, &observed, &plan, apply::nothing(), now());
    let status = status::compute(&context);
    let events = events::between(&context, context.old(), &status);
    let told = events.into_iter().filter(|event| event.reason == reason);
    (told.map(|event| event.note).collect(), status)
}

/// The status of a job that the controller has looked at before.
fn known() -> SingletonJobStatus {
    SingletonJobStatus { observed_generation: Some(1), ..SingletonJobStatus::default() }
}

#[test]
fn an_annotation_that_was_there_at_first_asks_for_nothing() {
    let schedule = json!({"schedule": {"cron": "@daily"}});
    let table = [
        (HANDOVER_REQUESTED_AT, "Never", json!({})),
        (RUN_REQUESTED_AT, "Never", json!({})),
        (RUN_REQUESTED_AT, "OnSuccess", schedule),
    ];
    for (annotation, kind, spec) in table {
        let look = |status: &SingletonJobStatus| {
            told("RequestRecorded", job(kind, spec.clone(), status), (annotation, "noon"), held())
        };
        let (annotations, status) = look(&SingletonJobStatus::default());
        let note = format!(
            "{annotation} was already \"noon\" when the controller first saw this SingletonJob, so the controller does nothing about it; \
             write another value to ask"
        );
        assert_eq!(annotations, [note]);
        assert_eq!(look(&status).0, [""; 0], "{annotation} is told once");
        assert_eq!(look(&known()).0, [""; 0], "{annotation} was written since");
    }
}

#[test]
fn a_run_asked_of_a_job_without_a_schedule_is_refused_with_what_to_do() {
    let refused = |kind: &str| {
        let look = |status: &SingletonJobStatus| {
            told("RunRequestRefused", job(kind, json!({}), status), (RUN_REQUESTED_AT, "now"), held())
        };
        let (annotations, status) = look(&known());
        assert_eq!(look(&status).0, [""; 0], "it is told once");
        annotations
    };
    let service = "the controller refused the request \"now\" to run: a service always runs; to restart it, let it hand over: write a new value into \
                   singletonjob.dev/handover-requested-at";
    let one_shot = "the controller refused the request \"now\" to run: only a SingletonJob with spec.schedule runs on request: delete this one and apply \
                    it again to run it once more";
    assert_eq!(
        (refused("Never"), refused("OnSuccess")),
        (vec![service.to_owned()], vec![one_shot.to_owned()])
    );
}

/// Of a service with this policy, whose holder was heard of so long ago.
fn clears(
    policy: &str,
    word: &str,
    unchanged: u64,
    before: &SingletonJobStatus,
) -> (Vec<String>, SingletonJobStatus) {
    let service = job("Never", json!({"takeover": {"unreachableHolder": {"policy": policy}}}), before);
    told("RequestRecorded", service, (CLEARED_HOLDER, word), seen(Some("web-2_u2_0"), json!({}), unchanged))
}

#[test]
fn a_word_under_a_policy_that_needs_none_is_said_once_to_have_no_effect() {
    let table = [
        (
            "AfterLeaseExpiry",
            "candidates take over from a silent holder when its lease and spec.takeover.unreachableHolder.delaySeconds have passed",
        ),
        ("AfterPodGone", "delete the pod, with --force only when nothing of it runs any more"),
    ];
    for (policy, advice) in table {
        for (word, unchanged) in [("web-2", 3), ("web-2", 60), ("web-2_u2_0", 3), ("web-1", 3), ("web-1", 60)]
        {
            let (annotations, status) = clears(policy, word, unchanged, &known());
            let begins =
                format!("{CLEARED_HOLDER} names {word:?}, but it has no effect under the policy {policy}: ");
            assert!(
                annotations.len() == 1
                    && annotations[0].starts_with(&begins)
                    && annotations[0].ends_with(advice),
                "{policy} {word}: {annotations:?}"
            );
            assert_eq!(clears(policy, word, 60, &status).0, [""; 0], "{policy} {word}: once");
            assert_eq!(clears(policy, "web-9", 60, &status).0.len(), 1, "another value is told");
        }
    }
}

#[test]
fn a_word_about_another_than_the_holder_is_said_once_to_clear_nobody() {
    let (annotations, status) = clears("Manual", "web-1", 3, &known());
    assert_eq!(
        annotations,
        [
            "singletonjob.dev/cleared-holder names \"web-1\", but web-2 holds the Lease, so that value clears no holder"
        ]
    );
    assert_eq!(clears("Manual", "web-1", 3, &status).0, [""; 0]);
    for word in ["web-2", "web-2_u2_0"] {
        assert_eq!(
            clears("Manual", word, 3, &known()).0,
            [""; 0],
            "{word} clears the holder should it fall silent"
        );
    }
}

#[test]
fn a_word_about_another_holder_is_told_once_with_what_to_write() {
    let (_, held) = clears("Manual", "web-1", 3, &known());
    let (annotations, silent) = clears("Manual", "web-1", 60, &held);
    assert_eq!(annotations, [""; 0], "the event TakeoverBlocked says it");
    let (annotations, misnamed) = clears("Manual", "web-9", 60, &silent);
    let note = "singletonjob.dev/cleared-holder names \"web-9\", but that is not the silent holder: write web-2 when nothing of it runs any more";
    assert_eq!(annotations, [note]);
    assert_eq!(clears("Manual", "web-9", 60, &misnamed).0, [""; 0]);
    assert_eq!(clears("Manual", "web-2", 60, &misnamed).0, [""; 0], "it is cleared");
}
