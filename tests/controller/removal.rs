//! A finished SingletonJob that deletes itself, and its Lease after it.

use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use singletonjob::api::SingletonJob;
use singletonjob::controller::apply;
use singletonjob::lease::annotations::keys;
use testkit::fixture::{LOOK_EVERY, PATIENCE};
use tokio::time::sleep;

use crate::fixture::Fixture;

impl Fixture {
    /// Plays the agent whose workload has succeeded now.
    async fn succeed(&self, name: &str) {
        let now = jiff::Timestamp::now().to_string();
        let finished = json!({"uid": self.job(name).await.uid(), "run": 1, "outcome": "Succeeded", "reason": "Completed", "exit": {"code": 0},
            "attempt": 1, "failures": 0, "by": format!("{name}-1_u_1"), "startTime": now, "completionTime": now});
        let patch = json!({"metadata": {"annotations": {keys::FINISHED: finished.to_string()}}});
        self.api::<Lease>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("stored");
    }

    /// At which revision of the whole store the object, which was there at `version`, is deleted.
    async fn deleted_at<K>(&self, name: &str, version: Option<String>) -> u64
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug,
        K: serde::de::DeserializeOwned + Send + 'static,
    {
        let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(280);
        let api: Api<K> = self.api();
        let events = api.watch(&params, &version.expect("stored")).await.expect("a watch");
        let deletions = events.filter_map(async |event| match event.expect("an event") {
            WatchEvent::Deleted(object) => object.meta().resource_version.as_ref()?.parse().ok(),
            _ => None,
        });
        tokio::time::timeout(PATIENCE, std::pin::pin!(deletions).next())
            .await
            .expect("in time")
            .expect("a deletion")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_job_deletes_itself_in_time_and_its_lease_goes_after_it() {
    let fixture = Fixture::new("transient").await;
    fixture.apply("once", json!({"ttlSecondsAfterFinished": 1})).await;
    fixture.settled("once", 2).await;
    let (job, lease) = (fixture.job("once").await, fixture.api::<Lease>().get("once").await.expect("there"));
    let finished = jiff::Timestamp::now();
    fixture.succeed("once").await;
    let job_gone = fixture.deleted_at::<SingletonJob>("once", job.resource_version()).await;
    assert!(jiff::Timestamp::now().duration_since(finished).as_secs_f64() >= 1.0, "not before its time");
    let lease_gone = fixture.deleted_at::<Lease>("once", lease.resource_version()).await;
    assert!(job_gone < lease_gone, "the Lease went first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_job_that_may_not_be_deleted_says_so() {
    let fixture = Fixture::new("kept").await;
    fixture.apply("once", json!({"ttlSecondsAfterFinished": 1})).await;
    fixture.settled("once", 2).await;
    let delete = ["delete", "singletonjob", "once", "--namespace", fixture.namespace, "--dry-run=server"];
    fixture.deny("keep", &["DELETE"], ("singletonjob.dev", "singletonjobs"), (&delete, "")).await;
    fixture.succeed("once").await;
    let started = Instant::now();
    let says_so = |event: &Event| {
        let note = event.note.as_deref().unwrap_or_default();
        event.reason.as_deref() == Some("ObjectRefused")
            && note.contains("no singletonjobs here")
            && note.contains("ttlSecondsAfterFinished")
    };
    while !fixture.all::<Event>().await.iter().any(says_so) {
        assert!(started.elapsed() < PATIENCE, "no event says so");
        sleep(LOOK_EVERY).await;
    }
    assert!(fixture.job("once").await.metadata.deletion_timestamp.is_none());
}

/// Only this test writes it.
async fn of_another_controller(fixture: &Fixture) -> SingletonJob {
    fixture.apply("once", json!({"managedBy": "example.com/other"})).await;
    fixture.job("once").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_changed_since_it_was_read_is_not_deleted() {
    let fixture = Fixture::new("stale").await;
    let read = of_another_controller(&fixture).await;
    let change = json!({"metadata": {"annotations": {"keep": "it"}}});
    let jobs = fixture.api::<SingletonJob>();
    jobs.patch("once", &PatchParams::default(), &Patch::Merge(change)).await.expect("stored");
    let refused = apply::delete(&fixture.client, &read).await;
    assert!(refused.is_err_and(|failure| failure.is_conflict()));
    apply::delete(&fixture.client, &fixture.job("once").await).await.expect("as it is now");
    assert!(jobs.get_opt("once").await.expect("an answer").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_job_of_the_name_is_not_deleted() {
    let fixture = Fixture::new("namesake").await;
    let mut read = of_another_controller(&fixture).await;
    fixture.api::<SingletonJob>().delete("once", &DeleteParams::default()).await.expect("deleted");
    let other = of_another_controller(&fixture).await;
    read.metadata.resource_version = other.resource_version();
    let refused = apply::delete(&fixture.client, &read).await;
    assert!(refused.is_err_and(|failure| failure.is_conflict()));
    assert_eq!(fixture.job("once").await.uid(), other.uid());
}
