//! Events as `kubectl get events` reads them.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use singletonjob::contract::labels;
use testkit::fixture::{LOOK_EVERY, PATIENCE};
use tokio::time::sleep;

use crate::fixture::Fixture;

/// `lastTimestamp` has whole seconds.
const NEXT_SECOND: Duration = Duration::from_millis(1100);
const RESTORED: &str = "LeaseLabelsRestored";

impl Fixture {
    /// Waits until there is such an event that counts so many.
    async fn told(&self, reason: &str, count: i32) -> Event {
        let started = Instant::now();
        loop {
            let events = self.all::<Event>().await;
            let is_one =
                |event: &Event| event.reason.as_deref() == Some(reason) && event.count == Some(count);
            if let Some(event) = events.into_iter().find(is_one) {
                return event;
            }
            assert!(started.elapsed() < PATIENCE, "no event {reason} counts {count}");
            sleep(LOOK_EVERY).await;
        }
    }

    /// Takes a label off the Lease, which the controller puts back, and tells of.
    async fn lose_label(&self, name: &str) {
        let patch = json!({"metadata": {"labels": {labels::MANAGED_BY: null}}});
        self.api::<Lease>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("stored");
    }

    /// Names and times, as `kubectl get events --sort-by=.lastTimestamp` has them.
    fn sorted(&self) -> Vec<(String, String)> {
        let columns = "custom-columns=NAME:.metadata.name,LAST:.lastTimestamp";
        let arguments = [
            "get",
            "events",
            "--sort-by=.lastTimestamp",
            "--no-headers",
            "--output",
            columns,
            "--namespace",
            self.namespace,
        ];
        let output = self.control_plane.kubectl(&arguments, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = lines.lines().filter_map(|line| line.split_once(' '));
        words.map(|(name, last)| (name.to_owned(), last.trim().to_owned())).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_says_when_by_whom_and_how_often() {
    let fixture = Fixture::alone("events").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    fixture.lose_label("web").await;
    let first = fixture.told(RESTORED, 1).await;
    assert_eq!(first.reporting_component.as_deref(), Some("singletonjob.dev/controller"));
    assert_eq!(first.reporting_instance.as_deref(), Some("controller-0"));
    assert_eq!(
        (first.type_.as_deref(), first.involved_object.name.as_deref()),
        (Some("Warning"), Some("web"))
    );
    assert!(
        first.event_time.is_some() && first.first_timestamp.is_some() && first.last_timestamp.is_some(),
        "{first:#?}"
    );
    assert_eq!(first.series, None);
    sleep(NEXT_SECOND).await;
    fixture.lose_label("web").await;
    let again = fixture.told(RESTORED, 2).await;
    assert_eq!(
        (again.name_any(), &again.first_timestamp, &again.event_time),
        (first.name_any(), &first.first_timestamp, &first.event_time)
    );
    assert!(again.last_timestamp > first.last_timestamp);
    let series = again.series.expect("it counts");
    assert!(
        series.count == Some(2)
            && series.last_observed_time.map(|time| time.0) > first.event_time.map(|time| time.0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_sorts_events_by_the_last_time() {
    let fixture = Fixture::alone("sorted").await;
    fixture.apply("web", json!({"completionPolicy": "Never"})).await;
    fixture.settled("web", 2).await;
    fixture.lose_label("web").await;
    let repeated = fixture.told(RESTORED, 1).await.name_any();
    sleep(NEXT_SECOND).await;
    fixture.hold("web", &fixture.pods().await[0], true).await;
    fixture.told("LeaseAcquired", 1).await;
    sleep(NEXT_SECOND).await;
    fixture.lose_label("web").await;
    fixture.told(RESTORED, 2).await;
    let sorted = fixture.sorted();
    assert!(sorted.len() > 1 && sorted.is_sorted_by_key(|(_, last)| last.clone()), "{sorted:#?}");
    assert!(sorted.iter().all(|(_, last)| last.ends_with('Z')), "each has a time: {sorted:#?}");
    assert_eq!(sorted.last().map(|(name, _)| name), Some(&repeated), "made first, told last");
}
