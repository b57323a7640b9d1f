//! Ends of which the agent alone cannot tell the outcome.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use singletonjob::api::conditions::{reasons, types};
use testkit::job::{IMAGE, Job, LEASE, SOON};
use testkit::observe::{await_object, nothing_starts};
use testkit::scenario::{Scenario, side_by_side};

const SECOND: Duration = Duration::from_secs(1);

/// Puts a process of root into the container of the workload, as an administrator does who looks for a fault.
async fn debug(scenario: &Scenario, pod: &str) {
    let image = format!("--image={IMAGE}");
    scenario.must(&[
        "debug",
        pod,
        &image,
        "--image-pull-policy=Never",
        "--target=main",
        "--container=debugger",
        "--",
        "/bin/sleep",
        "600",
    ]);
    let running = |pod: &Pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.ephemeral_container_statuses.as_ref());
        let state = statuses.and_then(|statuses| statuses.first()).and_then(|status| status.state.as_ref());
        state.is_some_and(|state| state.running.is_some())
    };
    await_object(scenario.api(), pod, "the debugger runs", SOON, |pod: Option<&Pod>| {
        pod.is_some_and(running)
    })
    .await;
}

#[test]
fn a_run_that_succeeds_while_root_debugs_it_is_complete_and_not_run_again() {
    side_by_side("debugged", async |scenario| {
        let ordinary = json!({"runAsUser": 65534, "runAsGroup": 65534});
        let job = Job::one_shot(scenario, "report")
            .container(json!({"securityContext": ordinary}))
            .witness(&["--until", "end"]);
        let tenure = job.pair().await;
        debug(scenario, &tenure.pod).await;
        job.let_end();
        job.await_true(types::COMPLETE).await;
        let run =
            job.read().await.status.and_then(|status| status.runs.into_iter().next()).expect("it ended");
        assert_eq!(
            (run.exit_code, run.attempts, run.pod.as_deref()),
            (Some(0), 1, Some(tenure.pod.as_str()))
        );
        nothing_starts(&job.records, 1, LEASE + SECOND).await;
    });
}

#[test]
fn a_holder_that_the_kubelet_ends_for_its_deadline_has_failed_once() {
    side_by_side("pod-deadline", async |scenario| {
        let job = Job::one_shot(scenario, "report").with(json!({"backoffLimit": 0})).witness(&[]);
        let tenure = job.pair().await;
        scenario.must(&["patch", "pod", &tenure.pod, "--patch", r#"{"spec": {"activeDeadlineSeconds": 2}}"#]);
        let failed = job.await_true(types::FAILED).await;
        assert_eq!(failed.reason, reasons::BACKOFF_LIMIT_EXCEEDED);
        job.await_event("PodFailed", &format!("the kubelet ended {} (DeadlineExceeded", tenure.pod)).await;
        let run =
            job.read().await.status.and_then(|status| status.runs.into_iter().next()).expect("it ended");
        assert_eq!(run.reason.as_deref(), Some(reasons::BACKOFF_LIMIT_EXCEEDED), "{run:?}");
    });
}
