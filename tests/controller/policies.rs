//! Where a cluster is strict about pods, a candidate is admitted wherever its template is.

use crate::fixture::Fixture;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use singletonjob::contract::pod;
use testkit::strict;

fn service() -> Value {
    json!({"completionPolicy": "Never", "template": {"spec": strict::admitted()}})
}

fn has_installer(pod: &Pod) -> bool {
    let init = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref());
    init.is_some_and(|init| init[0].name == pod::INSTALLER)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_range_with_a_minimum_and_a_maximum_admits_the_installer() {
    let fixture = Fixture::new("ranged").await;
    strict::limit(&fixture.control_plane, fixture.namespace);
    let mut small = strict::admitted();
    small["containers"][0]["resources"]["requests"]["cpu"] = json!("10m");
    assert!(
        strict::refused(&fixture.control_plane, fixture.namespace, &small)
            .contains("minimum cpu usage per Container is 20m")
    );
    fixture.apply("web", service()).await;
    fixture.settled("web", 2).await;
    assert!(fixture.pods().await.iter().all(has_installer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pod_security_and_a_policy_for_every_container_admit_the_installer() {
    let fixture = Fixture::new("restricted").await;
    strict::restrict(&fixture.control_plane, fixture.namespace);
    fixture.apply("web", service()).await;
    fixture.settled("web", 2).await;
    assert!(fixture.pods().await.iter().all(has_installer));
}
