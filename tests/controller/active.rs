//! What shows on the pods that one of them holds the Lease.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;
use singletonjob::contract::labels;
use testkit::fixture::{LOOK_EVERY, PATIENCE};
use tokio::time::sleep;

use crate::fixture::Fixture;

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const ACTIVE: &str = labels::ROLE_ACTIVE;
const STANDBY: &str = labels::ROLE_STANDBY;

type Shown<'a> = (&'a str, Option<&'a str>);

fn shown(pod: &Pod) -> Shown<'_> {
    (pod.labels()[labels::ROLE].as_str(), pod.annotations().get(COST).map(String::as_str))
}

impl Fixture {
    async fn pods_of(&self, name: &str) -> Vec<Pod> {
        let its = ListParams::default().labels(&format!("{}={name}", labels::JOB));
        self.api::<Pod>().list(&its).await.expect("an answer").items
    }

    /// Gives the Lease to this pod, and waits until role and cost of all are as `wanted`.
    async fn turn(&self, name: &str, holder: usize, wanted: [Shown<'_>; 2]) {
        self.hold(name, &self.pods_of(name).await[holder], true).await;
        let started = Instant::now();
        loop {
            let pods = self.pods_of(name).await;
            let shown: Vec<_> = pods.iter().map(shown).collect();
            if shown == wanted {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{shown:?} and not {wanted:?}");
            sleep(LOOK_EVERY).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_deletion_goes_from_the_former_holder_to_the_new_one() {
    let fixture = Fixture::new("costs").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    fixture.turn("web", 0, [(ACTIVE, Some("1000")), (STANDBY, None)]).await;
    fixture.turn("web", 1, [(STANDBY, None), (ACTIVE, Some("1000"))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cost_of_deletion_in_the_template_wins() {
    let fixture = Fixture::new("own-costs").await;
    let containers = json!([{"name": "main", "image": "busybox", "command": ["sleep", "1000"]}]);
    let template = json!({"metadata": {"annotations": {COST: "7"}}, "spec": {"containers": containers}});
    fixture.apply("web", json!({"completionPolicy": "Never", "template": template})).await;
    fixture.settled("web", 2).await;
    fixture.turn("web", 0, [(ACTIVE, Some("7")), (STANDBY, Some("7"))]).await;
    fixture.turn("web", 1, [(STANDBY, Some("7")), (ACTIVE, Some("7"))]).await;
}
