//! Nodes that are lost: the controller replaces what ran there elsewhere, whether a user says that the node
//! is gone or not.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt};
use serde_json::json;
use singletonjob::api::conditions::types;
use testkit::cluster::said;
use testkit::job::{Job, SOON};
use testkit::observe::{await_tenure, boot_time, eventually, nothing_starts, now};
use testkit::operator;
use testkit::scenario::{Scenario, on_own_nodes, side_by_side};

use crate::faults::is_replaced;

const SECOND: Duration = Duration::from_secs(1);
/// How long the cluster lets a node be silent (hack/cluster/control-plane.sh), and how often it looks.
const NODE_MONITOR: Duration = Duration::from_secs(20 + 5);
/// How long candidates stay on a node that is lost.
const TOLERATION: Duration = Duration::from_secs(30);
/// How long pods of a node that does not exist are left to be explained, and how often the garbage collector
/// of pods looks.
const POD_GARBAGE: Duration = Duration::from_secs(40 + 20);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The taint goes, however the scenario ends.
struct Tainted<'a>(&'a Scenario);

impl<'a> Tainted<'a> {
    fn as_out_of_service(scenario: &'a Scenario) -> Self {
        scenario.must(&[
            "taint",
            "node",
            scenario.nodes[0],
            &format!("{OUT_OF_SERVICE}=nodeshutdown:NoExecute"),
        ]);
        Self(scenario)
    }
}

impl Drop for Tainted<'_> {
    fn drop(&mut self) {
        let arguments = ["taint", "node", self.0.nodes[0], &format!("{OUT_OF_SERVICE}-")];
        said(&arguments, &self.0.cluster.kubectl(&arguments));
    }
}

/// A node whose object is deleted and whose kubelet runs on. It is made again when this is dropped: a kubelet
/// registers only when it starts.
struct Unregistered<'a> {
    scenario: &'a Scenario,
    node: String,
}

impl<'a> Unregistered<'a> {
    async fn begin(scenario: &'a Scenario) -> Self {
        let nodes: Api<Node> = Api::all(scenario.client.clone());
        let mut node = nodes.get(scenario.nodes[0]).await.expect("the node is registered");
        node.metadata = kube::core::ObjectMeta {
            name: node.metadata.name,
            labels: node.metadata.labels,
            ..Default::default()
        };
        let node = serde_json::to_string(&Node { status: None, ..node }).expect("plain data");
        scenario.must(&["delete", "node", scenario.nodes[0]]);
        Self { scenario, node }
    }
}

impl Drop for Unregistered<'_> {
    fn drop(&mut self) {
        let cluster = self.scenario.cluster;
        said(&["create"], &cluster.kubectl_fed(&["create", "--filename", "-"], &self.node));
        let ready = ["wait", "node", self.scenario.nodes[0], "--for=condition=Ready", "--timeout=60s"];
        said(&ready, &cluster.kubectl(&ready));
    }
}

fn on<'a>(pods: &'a [Pod], node: &str) -> Vec<&'a Pod> {
    pods.iter()
        .filter(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node))
        .collect()
}

/// The newest pod on the other node was made in time after the first was cut off, where one is stuck.
fn replaced_in_time(scenario: &Scenario, pods: &[Pod], cut: Duration) {
    let [node, other] = scenario.nodes;
    let made =
        on(pods, other).iter().filter_map(|pod| pod.creation_timestamp()).map(|time| boot_time(time.0)).max();
    let replaced = made.expect("it has pods").saturating_sub(cut);
    scenario.at_most(
        "node cut off to the new standby's pod (grace + 30 s)",
        replaced,
        NODE_MONITOR + TOLERATION + SECOND * 5,
    );
    let stuck = on(pods, node);
    assert!(
        stuck.len() == 1 && stuck[0].metadata.deletion_timestamp.is_some(),
        "no kubelet can say that it has ended: {stuck:?}"
    );
}

#[test]
fn a_standby_of_a_lost_node_is_replaced_and_a_holder_there_followed() {
    on_own_nodes("lost-node", async |scenario| {
        let [node, other] = scenario.nodes;
        let lost = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute"});
        let stay = json!({"tolerations": [lost("node.kubernetes.io/unreachable"), lost("node.kubernetes.io/not-ready")]});
        let strict = json!({"takeover": {"unreachableHolder": {"policy": "AfterPodGone"}}});
        let (bereft, blocked) =
            (Job::service(scenario, "bereft"), Job::service(scenario, "blocked").pod(&stay).with(strict));
        for (job, place) in [(&bereft, other), (&blocked, node)] {
            job.pair().await;
            job.move_to(place).await;
            job.await_true(types::STANDBY_AVAILABLE).await;
        }
        let [holds, held] = [&bereft, &blocked].map(|job| job.tenures().pop().expect("it runs"));
        let starts = [&bereft, &blocked].map(|job| job.tenures().len());
        assert_eq!(on(&bereft.pods().await, node).len(), 1, "candidates are spread over the nodes");

        let fault = scenario.cluster.cut(node);
        bereft
            .within(NODE_MONITOR + TOLERATION + SOON, "a new standby beside the holder", |job| {
                is_replaced(job, other)
            })
            .await;
        replaced_in_time(scenario, &bereft.pods().await, fault.before);
        nothing_starts(&bereft.records, starts[0], SECOND).await;
        assert!(bereft.tenure(holds.token).signals.is_empty(), "the holder does not notice");

        blocked.await_true(types::TAKEOVER_BLOCKED).await;
        nothing_starts(&blocked.records, starts[1], SECOND).await;
        let began = now();
        let taint = Tainted::as_out_of_service(scenario);
        let new = await_tenure(&blocked.records, starts[1] + 1, SOON).await;
        scenario.noted("node out of service to first instruction", new.first.saturating_sub(began));
        assert!(new.token > held.token);
        blocked.within(SOON * 2, "a new standby beside the new holder", |job| is_replaced(job, other)).await;
        for job in [&bereft, &blocked] {
            job.await_pods("nothing is left on the lost node", |pods| on(pods, node).is_empty()).await;
        }

        fault.mend();
        drop(taint);
        for (job, starts) in [(&bereft, starts[0]), (&blocked, starts[1] + 1)] {
            nothing_starts(&job.records, starts, SECOND * 2).await;
        }
    });
}

#[test]
fn what_was_on_a_node_whose_object_is_deleted_is_replaced() {
    on_own_nodes("deleted-node", async |scenario| {
        let [node, other] = scenario.nodes;
        let (bereft, moved) = (Job::service(scenario, "bereft"), Job::service(scenario, "moved"));
        for (job, place) in [(&bereft, other), (&moved, node)] {
            job.pair().await;
            job.move_to(place).await;
            job.await_true(types::STANDBY_AVAILABLE).await;
        }
        let holds = bereft.tenures().pop().expect("it runs");
        let starts = [&bereft, &moved].map(|job| job.tenures().len());

        let unregistered = Unregistered::begin(scenario).await;
        let began = now();
        for (job, what) in [(&bereft, "standby"), (&moved, "holder")] {
            job.within(POD_GARBAGE + SOON, "two beside each other on the node that is left", |job| {
                is_replaced(job, other)
            })
            .await;
            scenario.noted(&format!("node deleted to its {what} replaced"), now() - began);
        }
        await_tenure(&moved.records, starts[1] + 1, SOON).await;
        nothing_starts(&bereft.records, starts[0], SECOND).await;
        assert!(bereft.tenure(holds.token).signals.is_empty(), "the holder does not notice");

        drop(unregistered);
        nothing_starts(&moved.records, starts[1] + 1, SECOND * 2).await;
    });
}

#[test]
fn the_operators_own_pods_are_on_two_nodes() {
    side_by_side("operator-apart", async |scenario| {
        let columns =
            "--output=jsonpath={range .items[*]}{.spec.nodeName} {.metadata.deletionTimestamp}{\"\\n\"}{end}";
        let question =
            ["--namespace", operator::NAMESPACE, "get", "pods", "--selector", operator::SELECTOR, columns];
        let are_apart = || {
            let told = said(&question, &scenario.cluster.kubectl(&question));
            let nodes: BTreeSet<_> = told
                .lines()
                .filter_map(|line| line.split_once(' ')?.1.is_empty().then_some(line.trim()))
                .collect();
            (nodes.len() == 2 && !nodes.contains("")).then_some(())
        };
        eventually("two pods on two nodes", SOON, are_apart).await;
    });
}
