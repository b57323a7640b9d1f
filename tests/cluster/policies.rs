//! Who should hold: on request, in a better place, in better health.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::types;
use singletonjob::api::status::{Takeover, TakeoverReason};
use testkit::job::{Job, SOON};
use testkit::observe::{await_tenure, nothing_starts};
use testkit::scenario::{aside, side_by_side};

const SECOND: Duration = Duration::from_secs(1);
/// As documented: a holder is left in peace for so long before it hands back.
const REST: Duration = Duration::from_secs(60);
const PREFERRED: &str = "node-b";
const OTHER: &str = "node-a";

fn standbys(job: &SingletonJob) -> Option<i32> {
    job.status.as_ref()?.ready_standbys
}

fn handled(job: &SingletonJob) -> Option<&str> {
    job.status.as_ref()?.last_handled_handover_request.as_deref()
}

fn back_to(node: &str) -> Value {
    let named = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    json!({"takeover": {"preferredNodes": [{"weight": 1, "preference": named}], "failback": "WhenAvailable"}})
}

fn last(job: &SingletonJob) -> Option<&Takeover> {
    job.status.as_ref()?.takeovers.first()
}

#[test]
fn on_request_it_hands_over_once_to_the_named_of_three() {
    side_by_side("on-request", async |scenario| {
        let job = Job::service(scenario, "web").with(json!({"replicas": 3}));
        let first = job.pair().await;
        job.until("two stand by", |job| standbys(job) == Some(2)).await;
        let named = job
            .pods()
            .await
            .iter()
            .map(ResourceExt::name_any)
            .rfind(|name| *name != first.pod)
            .expect("three");
        let ask = |when: &str, to: &str| {
            let (when, to) = (
                format!("singletonjob.dev/handover-requested-at={when}"),
                format!("singletonjob.dev/handover-to={to}"),
            );
            scenario.must(&["annotate", "sj/web", "--overwrite", &when, &to]);
        };
        ask("noon", &named);
        let second = await_tenure(&job.records, 2, SOON).await;
        assert_eq!(second.pod, named);
        assert_eq!(job.await_takeover(second.token).await.reason, TakeoverReason::Handover);
        job.until("it is remembered", |job| handled(job) == Some("noon")).await;
        job.await_event(
            "HandoverRequested",
            &format!("the controller asked {} to hand over: Handover", first.pod),
        )
        .await;
        ask("evening", "absent");
        job.await_event("HandoverRefused", "absent is no candidate").await;
        ask("night", &named);
        job.await_event("HandoverRefused", &format!("{named} holds the Lease already")).await;
        nothing_starts(&job.records, 2, SECOND * 5).await;
    });
}

#[test]
fn the_workload_comes_back_to_the_preferred_node_after_a_rest() {
    aside("failback", async |scenario| {
        let job = Job::service(scenario, "web");
        job.pair().await;
        job.move_to(OTHER).await;
        let job = job.with(back_to(PREFERRED));
        job.apply();
        for round in ["to where it belongs", "and again after it was driven away"] {
            let failed_back = |job: &SingletonJob| {
                let is_there = job.status.as_ref().and_then(|status| status.lease.as_ref()?.node.as_deref())
                    == Some(PREFERRED);
                is_there && last(job).is_some_and(|takeover| takeover.reason == TakeoverReason::Failback)
            };
            let back = job.within(REST + SOON, round, failed_back).await;
            let takeovers = back.status.expect("just seen").takeovers;
            let acquired = |index: usize| takeovers[index].acquire_time.as_ref().expect("told").0;
            let rested = Duration::try_from(acquired(0).duration_since(acquired(1))).expect("newest first");
            assert!(rested + SECOND >= REST, "{round}: after {rested:?}");
            job.move_to(OTHER).await;
            job.until("it runs on the other node", |job| {
                last(job).is_some_and(|takeover| takeover.reason == TakeoverReason::Drain)
            })
            .await;
        }
    });
}

#[test]
fn a_holder_that_is_not_ready_hands_over_and_two_do_not_play_tennis() {
    side_by_side("unready", async |scenario| {
        let probe = json!({"exec": {"command": ["/bin/sh", "-c", "test ! -e /witness/unready-$(hostname)"]}, "periodSeconds": 1});
        let policy = json!({"takeover": {"unreadyHolder": {"policy": "HandOver", "afterSeconds": 5}}});
        let job = Job::service(scenario, "web").container(json!({"readinessProbe": probe})).with(policy);
        let first = job.pair().await;
        job.await_true(types::READY).await;
        let sicken = |pod: &str| {
            std::fs::write(job.records.join(format!("unready-{pod}")), "")
                .expect("shared memory is writable");
        };
        sicken(&first.pod);
        let second = await_tenure(&job.records, 2, SOON).await;
        assert_ne!(second.pod, first.pod);
        assert_eq!(job.await_takeover(second.token).await.reason, TakeoverReason::Unready);
        sicken(&second.pod);
        job.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&job.records, 2, SECOND * 30).await;
    });
}
