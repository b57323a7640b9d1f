//! Workloads that are slow to become ready, or never do: status says so, and a rollout waits for them.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{reasons, types};
use singletonjob::api::status::TakeoverReason;
use singletonjob::lease::annotations::Annotations;
use testkit::job::{Job, SOON, condition, is_ready};
use testkit::observe::{await_object, await_tenure, nothing_starts};
use testkit::scenario::side_by_side;

const SECOND: Duration = Duration::from_secs(1);
/// The kubelet's period, and its way to the API server beside other scenarios.
const ONE_PERIOD: Duration = Duration::from_secs(15);

/// Ready when a file of this name is among the records; by its threshold alone not ready after a minute.
fn ready_by(file: &str) -> Value {
    let command = format!("test -e /witness/{file}");
    json!({"readinessProbe": {"exec": {"command": ["/bin/sh", "-c", command]}, "periodSeconds": 1, "failureThreshold": 60}})
}

fn let_be_ready(job: &Job<'_>, file: &str) {
    std::fs::write(job.records.join(file), "").expect("shared memory is writable");
}

fn is(job: &SingletonJob, type_: &str, status: &str) -> bool {
    condition(job, type_).is_some_and(|condition| condition.status == status)
}

fn says_when_it_was_ready(lease: &Lease) -> bool {
    Annotations::read(Some(lease.annotations())).health.is_some_and(|health| health.workload_ready.is_some())
}

#[test]
fn a_job_is_ready_when_its_workload_is_and_not_because_its_pod_stood_by() {
    side_by_side("never-ready", async |scenario| {
        let job = Job::service(scenario, "web").container(ready_by("ready"));
        let tenure = job.pair().await;
        let unready = |pod: Option<&Pod>| pod.is_some_and(|pod| !is_ready(pod));
        await_object::<Pod, _>(
            scenario.api(),
            &tenure.pod,
            "not ready, after one answer of sixty",
            ONE_PERIOD,
            unready,
        )
        .await;
        let status = job.until("the probe is named", |job| {
            condition(job, types::READY).is_some_and(|ready| {
                ready.message.contains("its workload has not become ready since it took over")
            })
        });
        assert!(is(&status.await, types::READY, "False"));
        nothing_starts(&job.records, 1, SECOND * 5).await;
        assert!(is(&job.read().await, types::READY, "False"));
        let_be_ready(&job, "ready");
        job.within(ONE_PERIOD, "ready", |job| is(job, types::READY, "True")).await;
        let lease = scenario.api::<Lease>().get("web").await.expect("a Lease");
        assert!(says_when_it_was_ready(&lease), "{:?}", lease.annotations());
    });
}

#[test]
fn a_rollout_keeps_the_old_pod_until_the_new_workload_is_ready() {
    side_by_side("rollout-trial", async |scenario| {
        let job = Job::service(scenario, "web").labelled("old").container(ready_by("old"));
        let_be_ready(&job, "old");
        let old = job.pair().await;
        job.await_true(types::READY).await;
        let job = job.labelled("new").container(ready_by("new"));
        job.apply();
        let new = await_tenure(&job.records, 2, SOON).await;
        assert_eq!(new.label, "new");
        job.within(ONE_PERIOD, "not ready, and at once", |job| is(job, types::READY, "False")).await;
        nothing_starts(&job.records, 2, SECOND * 10).await;
        let names: Vec<_> = job.pods().await.iter().map(ResourceExt::name_any).collect();
        assert_eq!((names.contains(&old.pod), names.len()), (true, 2), "{names:?}");
        let_be_ready(&job, "new");
        job.within(ONE_PERIOD, "ready", |job| is(job, types::READY, "True")).await;
        job.await_pods("both are new", |pods| {
            pods.len() == 2 && pods.iter().all(|pod| pod.name_any() != old.pod)
        })
        .await;
        nothing_starts(&job.records, 2, SECOND * 2).await;
    });
}

#[test]
fn a_new_template_that_crashes_takes_over_once_and_the_old_one_goes_on() {
    side_by_side("crashing-rollout", async |scenario| {
        let job = Job::service(scenario, "web").labelled("old").container(ready_by("old"));
        let_be_ready(&job, "old");
        let old = job.pair().await;
        job.await_true(types::READY).await;
        let job = job.labelled("new").container(ready_by("new")).witness(&["--seconds", "15", "--exit", "3"]);
        // By then the old pod stands by again: its container ended with the handover, and the kubelet starts
        // it anew.
        job.apply();
        let back = await_tenure(&job.records, 3, SOON * 2).await;
        assert_eq!((back.label.as_str(), &back.pod), ("old", &old.pod));
        assert_eq!(job.await_takeover(back.token).await.reason, TakeoverReason::WorkloadFailed);
        let stalled = job.await_true(types::STALLED).await;
        assert!(stalled.message.contains("the controller gave up the rollout"), "{}", stalled.message);
        job.await_true(types::READY).await;
        nothing_starts(&job.records, 3, SECOND * 20).await;
    });
}

#[test]
fn a_new_template_that_is_not_ready_is_handed_back_once_by_policy() {
    side_by_side("handed-back", async |scenario| {
        let policy = json!({"takeover": {"unreadyHolder": {"policy": "HandOver", "afterSeconds": 3}}});
        let job = Job::service(scenario, "web").labelled("old").container(ready_by("old")).with(policy);
        let_be_ready(&job, "old");
        let old = job.pair().await;
        job.await_true(types::READY).await;
        let job = job.labelled("new").container(ready_by("new"));
        job.apply();
        let back = await_tenure(&job.records, 3, SOON * 2).await;
        assert_eq!((back.label.as_str(), &back.pod), ("old", &old.pod));
        assert_eq!(job.await_takeover(back.token).await.reason, TakeoverReason::Unready);
        let stalled = job.await_true(types::STALLED).await;
        assert_eq!(stalled.reason, reasons::PROGRESS_DEADLINE_EXCEEDED);
        assert!(stalled.message.contains("the controller gave up the rollout"), "{}", stalled.message);
        job.await_true(types::READY).await;
        nothing_starts(&job.records, 3, SECOND * 10).await;
        let job = job.labelled("better").container(ready_by("old"));
        job.apply();
        let better = await_tenure(&job.records, 4, SOON).await;
        assert_eq!(better.label, "better");
        job.until("no longer stalled", |job| {
            condition(job, types::STALLED).is_some_and(|stalled| stalled.status == "False")
        })
        .await;
    });
}
