//! The life of a one-shot: it is finished once.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use singletonjob::api::conditions::{reasons, types};
use singletonjob::api::status::RunOutcome;
use singletonjob::contract::labels;
use testkit::job::{Job, LEASE, SOON, condition};
use testkit::observe::{await_tenure, nothing_starts};
use testkit::scenario::side_by_side;

const SECOND: Duration = Duration::from_secs(1);

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

#[test]
fn exit_0_completes_it_removes_the_standbys_and_nothing_starts_again() {
    side_by_side("complete", async |scenario| {
        let job = Job::one_shot(scenario, "report").witness(&["--until", "end"]);
        let tenure = job.pair().await;
        job.let_end();
        scenario.must(&["wait", "sj/report", "--for=condition=Complete", "--timeout=30s"]);
        let left = job
            .await_pods("the standby is gone", |pods| pods.len() == 1 && phase(&pods[0]) == Some("Succeeded"))
            .await;
        assert_eq!(left[0].name_any(), tenure.pod, "the pod that finished it stays, for its log");
        let done = job.read().await;
        assert_eq!(
            condition(&done, types::READY).map(|ready| ready.reason.as_str()),
            Some(reasons::COMPLETE)
        );
        let run = done.status.and_then(|status| status.runs.into_iter().next()).expect("it ended");
        assert_eq!(
            (run.outcome, run.exit_code, run.pod.as_deref()),
            (RunOutcome::Succeeded, Some(0), Some(tenure.pod.as_str()))
        );
        assert_eq!(run.fencing_token, Some(tenure.token.to_string()));
        nothing_starts(&job.records, 1, LEASE + SECOND).await;
        assert_eq!(job.pods().await.len(), 1);
    });
}

#[test]
fn the_pods_of_a_finished_job_go_in_time_and_its_outcome_stays() {
    side_by_side("pod-ttl", async |scenario| {
        let job = Job::one_shot(scenario, "report")
            .with(json!({"podTTLSecondsAfterFinished": 5}))
            .witness(&["--seconds", "1"]);
        job.apply();
        job.await_true(types::COMPLETE).await;
        job.await_pods("the log is there to read", |pods| {
            pods.iter().any(|pod| phase(pod) == Some("Succeeded"))
        })
        .await;
        job.await_pods("they are gone", <[Pod]>::is_empty).await;
        assert!(job.apply().contains("unchanged"));
        nothing_starts(&job.records, 1, LEASE + SECOND).await;
        assert_eq!(job.await_true(types::COMPLETE).await.reason, "Completed");
    });
}

#[test]
fn exit_1_is_tried_again_until_backoff_limit_and_failed_pods_keep_logs() {
    side_by_side("failed", async |scenario| {
        let job = Job::one_shot(scenario, "report").with(json!({"backoffLimit": 1})).witness(&[
            "--seconds",
            "2",
            "--exit",
            "1",
        ]);
        job.apply();
        let failed = job.await_true(types::FAILED).await;
        assert_eq!(failed.reason, reasons::BACKOFF_LIMIT_EXCEEDED);
        let tenures = job.tenures();
        assert_eq!(tenures.iter().map(|tenure| tenure.attempt).collect::<Vec<_>>(), [1, 2]);
        assert!(tenures[1].token > tenures[0].token);
        let left = |pods: &[Pod]| pods.len() == 2 && pods.iter().all(|pod| phase(pod) == Some("Failed"));
        job.await_pods("only the failed ones are left", left).await;
        for tenure in &tenures {
            let log = scenario.must(&["logs", &tenure.pod]);
            assert!(log.contains(&format!("running with token {}", tenure.token)), "{log}");
        }
        nothing_starts(&job.records, 2, LEASE + SECOND).await;
    });
}

#[test]
fn an_exit_code_of_the_failure_policy_fails_it_at_once_and_names_the_rule() {
    side_by_side("failure-policy", async |scenario| {
        let rule = json!({"onExitCodes": {"operator": "In", "values": [42]}, "action": "FailRun"});
        let job = Job::one_shot(scenario, "report").with(json!({"failurePolicy": {"rules": [rule]}}));
        let job = job.witness(&["--seconds", "2", "--exit", "42"]);
        job.apply();
        let failed = job.await_true(types::FAILED).await;
        assert_eq!(failed.reason, reasons::FAILURE_POLICY);
        let says = "exit code 42; spec.failurePolicy.rules[0] fails the run at once";
        assert!(failed.message.contains(says), "{}", failed.message);
        job.await_event("RunFailed", says).await;
        nothing_starts(&job.records, 1, LEASE + SECOND).await;
        let run =
            job.read().await.status.and_then(|status| status.runs.into_iter().next()).expect("it ended");
        assert_eq!(
            (run.outcome, run.reason.as_deref(), run.exit_code),
            (RunOutcome::Failed, Some(reasons::FAILURE_POLICY), Some(42))
        );
    });
}

#[test]
fn a_workload_that_takes_all_its_memory_loses_its_attempt_and_is_told() {
    side_by_side("memory", async |scenario| {
        let limits = json!({"limits": {"memory": "48Mi"}});
        let greedy =
            json!({"command": ["/bin/sh", "-c", "exec tail /dev/zero"], "args": null, "resources": limits});
        let job = Job::one_shot(scenario, "report").with(json!({"backoffLimit": 0})).container(greedy);
        job.apply();
        assert_eq!(job.await_true(types::FAILED).await.reason, reasons::BACKOFF_LIMIT_EXCEEDED);
        let killed = |job: &singletonjob::api::SingletonJob| {
            let run = job.status.as_ref().and_then(|status| status.runs.first());
            run.is_some_and(|run| run.reason.as_deref() == Some(reasons::OOM_KILLED) && run.attempts == 1)
        };
        job.until("its one attempt was killed for its memory", killed).await;
    });
}

#[test]
fn its_deadline_counts_over_takeovers_and_stops_the_holder_of_then() {
    side_by_side("deadline", async |scenario| {
        let job = Job::one_shot(scenario, "report")
            .with(json!({"activeDeadlineSeconds": 30}))
            .witness(&["--until", "end"]);
        let first = job.pair().await;
        job.delete_pod(&first.pod);
        let second = await_tenure(&job.records, 2, SOON).await;
        let failed = job.await_true(types::FAILED).await;
        assert_eq!(failed.reason, reasons::DEADLINE_EXCEEDED);
        assert!(
            failed.message.contains("the run took longer than spec.activeDeadlineSeconds of 30"),
            "{}",
            failed.message
        );
        let second = job.tenure(second.token);
        let signals: Vec<_> = second.signals.iter().map(|(signal, _)| *signal).collect();
        assert_eq!(signals, [15], "stopped as by a drain");
        let told = second.signals[0].1.saturating_sub(first.first);
        scenario.noted("from the first start to SIGTERM", told);
        assert!(told >= SECOND * 29 && told < SECOND * 33, "{told:?} after the first attempt began");
        nothing_starts(&job.records, 2, LEASE + SECOND).await;
    });
}

#[test]
fn a_new_template_leaves_the_running_attempt_alone_and_starts_next() {
    side_by_side("new-attempt", async |scenario| {
        let job = Job::one_shot(scenario, "report").witness(&["--until", "end"]).labelled("old");
        let old = job.pair().await;
        let hash = |pod: &Pod| pod.labels().get(labels::TEMPLATE_HASH).cloned();
        let before = job.pods().await.iter().find_map(hash);
        let job = job.labelled("new");
        job.apply();
        let replaced = |pods: &[Pod]| {
            pods.len() == 2 && pods.iter().all(|pod| (hash(pod) == before) == (pod.name_any() == old.pod))
        };
        job.await_pods("the standby is of the new template, the active one of the old", replaced).await;
        job.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&job.records, 1, SECOND * 3).await;
        assert!(job.tenure(old.token).signals.is_empty(), "the running attempt is left alone");
        job.delete_pod(&old.pod);
        let new = await_tenure(&job.records, 2, SOON).await;
        assert_eq!((new.label.as_str(), new.token > old.token), ("new", true));
        job.let_end();
        job.await_true(types::COMPLETE).await;
        let job = job.labelled("newest");
        job.apply();
        job.until("the change is seen", |job| {
            job.status.as_ref().is_some_and(|status| status.observed_generation == job.metadata.generation)
        })
        .await;
        nothing_starts(&job.records, 2, SECOND * 3).await;
        let complete = job.await_true(types::COMPLETE).await;
        assert!(complete.message.contains("the template has changed since"), "{}", complete.message);
    });
}
