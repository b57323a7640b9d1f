//! `standbyReadiness: NotReady`: a Service that knows nothing of roles reaches the active pod alone.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;
use singletonjob::api::conditions::types;
use singletonjob::controller::names;
use testkit::job::{Job, SOON, is_ready};
use testkit::observe::{await_object, await_tenure, nothing_starts, now};
use testkit::operator;
use testkit::scenario::{Scenario, with_operator};
use tokio::time::{sleep, timeout};

/// The probe's period, the kubelet's word, and the endpoint controller's.
const FOLLOWS: Duration = Duration::from_secs(5);

/// Names of the pods that the Service routes to.
async fn routed_to(scenario: &Scenario) -> BTreeSet<String> {
    let selector = ListParams::default().labels("kubernetes.io/service-name=web");
    let slices = scenario.api::<EndpointSlice>().list(&selector).await.expect("slices can be listed").items;
    let endpoints = slices.into_iter().flat_map(|slice| slice.endpoints.into_iter().flatten());
    let ready = endpoints.filter(|endpoint| {
        endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))
    });
    ready.filter_map(|endpoint| endpoint.target_ref?.name).collect()
}

async fn await_route(scenario: &Scenario, pod: &str) {
    let wait = async {
        while routed_to(scenario).await != BTreeSet::from([pod.to_owned()]) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let arrived = timeout(SOON, wait).await;
    assert!(arrived.is_ok(), "the Service routes to {:?} and not to {pod} alone", routed_to(scenario).await);
}

#[test]
fn a_plain_service_follows_the_active_pod_while_the_controller_is_down() {
    with_operator("plain-service", async |scenario| {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"singletonjob.dev/name": "web"}, "ports": [{"port": 80}]}});
        scenario.apply(&service.to_string());
        let job = Job::service(scenario, "web").with(json!({"standbyReadiness": "NotReady"}));
        let first = job.pair().await;
        await_route(scenario, &first.pod).await;
        job.await_true(types::READY).await;
        let ready = job
            .pods()
            .await
            .iter()
            .filter(|pod| is_ready(pod))
            .map(ResourceExt::name_any)
            .collect::<Vec<_>>();
        assert_eq!(ready, [first.pod.as_str()]);
        let lets_go = |budget: Option<&PodDisruptionBudget>| {
            budget.and_then(|budget| budget.spec.as_ref()?.min_available.clone()) == Some(IntOrString::Int(0))
        };
        await_object(scenario.api(), &names::child_name("web"), "a drain may take the holder", SOON, lets_go)
            .await;

        let stopped = operator::stop();
        job.delete_pod(&first.pod);
        let second = await_tenure(&job.records, 2, SOON).await;
        await_route(scenario, &second.pod).await;
        scenario.at_most(
            "from its first instruction to where the Service routes",
            now().saturating_sub(second.first),
            FOLLOWS,
        );
        drop(stopped);
        job.await_true(types::STANDBY_AVAILABLE).await;
        nothing_starts(&job.records, 2, Duration::from_secs(3)).await;
        await_route(scenario, &second.pod).await;
    });
}
