//! Nodes that are emptied: the holder hands over first, and waits for a standby to hand over to.

use std::collections::BTreeSet;
use std::time::Duration;

use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{reasons, types};
use singletonjob::api::status::TakeoverReason;
use testkit::cluster::said;
use testkit::job::{Job, SOON, condition};
use testkit::observe::{await_tenure, nothing_starts};
use testkit::scenario::{Scenario, with_operator};

const HANDOVER: Duration = Duration::from_millis(300);
/// Nothing wakes the controller for a node: it looks once in a lease, and the new candidate takes its time.
const SPREADS: Duration = Duration::from_secs(60);
const NODES: [&str; 2] = ["node-a", "node-b"];

fn drain(scenario: &Scenario, node: &str, seconds: u32) -> Result<(), String> {
    let timeout = format!("--timeout={seconds}s");
    let selector = format!("--pod-selector=singletonjob.dev/name=web,drained={}", scenario.namespace);
    let drained = scenario.kubectl(&[
        "drain",
        node,
        "--delete-emptydir-data",
        "--ignore-daemonsets",
        &timeout,
        &selector,
    ]);
    if drained.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&drained.stderr).into_owned()) }
}

/// Nodes take pods again, however the scenario ends.
struct Cordons<'a>(&'a Scenario);

impl Drop for Cordons<'_> {
    fn drop(&mut self) {
        for node in NODES {
            let arguments = ["uncordon", node];
            said(&arguments, &self.0.cluster.kubectl(&arguments));
        }
    }
}

#[test]
fn a_drain_hands_over_and_waits_until_a_standby_is_there() {
    with_operator("drain", async |scenario| {
        let _cordons = Cordons(scenario);
        let labels =
            serde_json::json!({"template": {"metadata": {"labels": {"drained": scenario.namespace}}}});
        let job = Job::service(scenario, "web").with(labels);
        let first = job.pair().await;
        let node = job
            .await_lease("a holder on a known node", |lease| lease.node.is_some())
            .await
            .node
            .expect("just seen");
        let other = NODES.into_iter().find(|other| *other != node).expect("there are two");

        scenario.must(&["cordon", other]);
        let standby =
            job.pods().await.into_iter().filter_map(|pod| pod.metadata.name).find(|name| *name != first.pod);
        job.delete_pod(&standby.expect("a standby"));
        job.await_complaint(types::STANDBY_AVAILABLE, "").await;
        assert_eq!(job.await_true(types::STANDBY_AVAILABLE).await.reason, reasons::SAME_NODE);
        let refused = drain(scenario, &node, 15).expect_err("the last one that is ready stays");
        assert!(refused.contains("disruption budget"), "{refused}");
        nothing_starts(&job.records, job.tenures().len(), Duration::from_secs(2)).await;

        scenario.must(&["uncordon", other]);
        let apart = |job: &SingletonJob| {
            let nodes: BTreeSet<_> = job
                .status
                .iter()
                .flat_map(|status| &status.candidates)
                .map(|candidate| candidate.node.clone())
                .collect();
            condition(job, types::STANDBY_AVAILABLE).is_some_and(|is| is.reason == reasons::AS_EXPECTED)
                && nodes.len() == 2
        };
        job.within(SPREADS, "candidates are on both nodes", apart).await;
        job.await_pods("one standby went for it", |pods| pods.len() == 2).await;
        nothing_starts(&job.records, job.tenures().len(), Duration::from_secs(2)).await;
        drain(scenario, &node, 60).expect("there is room elsewhere");
        let last = await_tenure(&job.records, job.tenures().len(), SOON).await;
        job.until("it runs on the other node", |job| {
            let lease = job.status.as_ref().and_then(|status| status.lease.as_ref());
            lease.is_some_and(|lease| lease.node.as_deref() == Some(other))
        })
        .await;
        for pair in job.tenures().windows(2) {
            scenario.at_most(
                "drained: last to first instruction",
                pair[1].first.saturating_sub(pair[0].last),
                HANDOVER,
            );
        }
        assert_eq!(job.await_takeover(last.token).await.reason, TakeoverReason::Drain);
    });
}
