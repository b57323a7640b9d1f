//! A schedule, on a real API server: its ticks, and what a person asks for in between, while controllers die
//! and are two.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{find_condition, types};
use singletonjob::contract::labels::{MADE_FOR_RUN, RUN_REQUESTED_AT};
use singletonjob::lease::annotations::{Run, keys};
use testkit::fixture::{Fixture, PATIENCE, QUIET, start};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Long enough to start and to do something; short enough to die in the middle of that.
const LIFE: Duration = Duration::from_millis(900);

/// A controller that is killed and started again, over and over.
fn dying(fixture: &Fixture, first: Duration) -> JoinHandle<()> {
    let (client, telemetry) = (fixture.client.clone(), fixture.telemetry.clone());
    tokio::spawn(async move {
        sleep(first).await;
        loop {
            let controller = Dying(start(&client, &telemetry));
            sleep(LIFE).await;
            drop(controller);
        }
    })
}

struct Dying(JoinHandle<()>);

impl Drop for Dying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Everything that the Lease has asked for, in order.
#[derive(Default)]
struct Asked(Vec<(u32, Option<Timestamp>)>);

impl Asked {
    fn note(&mut self, run: &Run) {
        let asked = (run.number, run.scheduled_time);
        if self.0.last() != Some(&asked) {
            self.0.push(asked);
        }
    }

    /// Looks until the Lease asks for run `number`, and for a while longer.
    async fn until(&mut self, fixture: &Fixture, number: u32, patience: Duration) {
        let (started, mut seen) = (Instant::now(), None);
        while seen.is_none_or(|seen: Instant| seen.elapsed() < QUIET * 2) {
            let run = fixture.record("web").await.annotations.run.expect("a directive");
            self.note(&run);
            if run.number >= number {
                seen.get_or_insert_with(Instant::now);
            }
            assert!(
                seen.is_some() || started.elapsed() < patience,
                "run {number} is not asked for: {:?}",
                self.0
            );
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Plays the candidate that finishes run `number`.
async fn finish(fixture: &Fixture, number: u32) {
    let finished = json!({
        "uid": fixture.job("web").await.uid(), "run": number, "outcome": "Succeeded", "reason": "Completed", "exit": {"code": 0}, "attempt": 1,
        "failures": 0, "by": "web-1_u_0000000000000007", "startTime": null, "completionTime": Timestamp::now().to_string(),
    });
    let note = json!({"metadata": {"annotations": {keys::FINISHED: finished.to_string()}}});
    fixture.api::<Lease>().patch("web", &PatchParams::default(), &Patch::Merge(note)).await.expect("stored");
}

async fn ask(fixture: &Fixture, text: &str) {
    let asked = json!({"metadata": {"annotations": {RUN_REQUESTED_AT: text}}});
    fixture
        .api::<SingletonJob>()
        .patch("web", &PatchParams::default(), &Patch::Merge(asked))
        .await
        .expect("stored");
}

/// Waits where the next full minute is too near to look before it at what comes then.
async fn clear_of_a_tick() {
    let left = 60 - Timestamp::now().as_second().rem_euclid(60);
    if left < 15 {
        sleep(Duration::from_secs(left.unsigned_abs() + 1)).await;
    }
}

fn ready(job: &SingletonJob, reason: &str) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    find_condition(&conditions, types::READY)
        .is_some_and(|ready| ready.status == "True" && ready.reason == reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_and_a_request_become_one_run_each_though_controllers_die() {
    let fixture = Fixture::new("ticks").await;
    clear_of_a_tick().await;
    fixture.apply("web", json!({"schedule": {"cron": "* * * * *"}})).await;
    let next = |job: &SingletonJob| job.status.as_ref().and_then(|status| status.next_schedule_time.clone());
    let Time(tick) = next(&fixture.until("web", "waiting for its tick", |job| next(job).is_some()).await)
        .expect("just seen");
    fixture.controller.abort();
    let _both = [Duration::ZERO, LIFE / 2].map(|first| Dying(dying(&fixture, first)));
    let mut asked = Asked::default();
    asked.until(&fixture, 1, Duration::from_secs(70)).await;
    finish(&fixture, 1).await;
    fixture
        .until("web", "told of the end", |job| {
            job.status.as_ref().is_some_and(|status| status.succeeded_runs == Some(1))
        })
        .await;
    ask(&fixture, "once").await;
    asked.until(&fixture, 2, PATIENCE).await;
    assert_eq!(asked.0, [(0, None), (1, Some(tick)), (2, None)]);
    let job = fixture.until("web", "told of the request", |job| {
        job.status.as_ref().is_some_and(|status| status.last_handled_run_request.as_deref() == Some("once"))
    });
    let status = job.await.status.expect("a status");
    assert_eq!(
        (status.last_schedule_time, status.runs[0].scheduled_time.clone()),
        (Some(Time(tick)), Some(Time(tick)))
    );
    assert_eq!(
        (status.succeeded_runs, status.runs.len(), status.run.map(|run| run.number)),
        (Some(1), 1, Some(2))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_waits_in_peace_is_corrected_suspended_and_run_on_request() {
    let fixture = Fixture::new("schedules").await;
    let schedule = |cron: &str| json!({"schedule": {"cron": cron, "candidates": "Always"}});
    fixture.apply("web", schedule("0 0 31 2 *")).await;
    let stalled = |job: &SingletonJob| {
        let conditions = job.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        find_condition(&conditions, types::STALLED)
            .is_some_and(|stalled| stalled.status == "True" && stalled.message.contains("never comes"))
    };
    fixture.until("web", "stalled", stalled).await;
    assert_eq!(fixture.pods().await.len(), 0);
    fixture.apply("web", schedule("0 0 1 1 *")).await;
    let job = fixture.until("web", "scheduled", |job| ready(job, "Scheduled")).await;
    assert!(
        job.status
            .as_ref()
            .is_some_and(|status| status.next_schedule_time.is_some() && status.missed_runs == Some(0))
    );
    fixture.settled("web", 2).await;
    assert!(
        fixture.pods().await.iter().all(|pod| pod.labels()[MADE_FOR_RUN] == "1"),
        "made for the run to come"
    );
    let mut suspended = schedule("0 0 1 1 *");
    suspended["suspend"] = json!(true);
    fixture.apply("web", suspended).await;
    let job = fixture.until("web", "suspended", |job| ready(job, "Suspended")).await;
    assert_eq!(job.status.and_then(|status| status.next_schedule_time), None);
    fixture.settled("web", 0).await;
    ask(&fixture, "now").await;
    fixture.until("web", "waiting for a candidate", |job| ready(job, "Pending")).await;
    let run = fixture.record("web").await.annotations.run.expect("a directive");
    assert_eq!((run.number, run.scheduled_time), (1, None));
    ask(&fixture, "again").await;
    let started = Instant::now();
    let refused = async || {
        let events = fixture.api::<Event>().list(&ListParams::default()).await.expect("an answer");
        events.iter().any(|event| event.reason.as_deref() == Some("RunRequestRefused"))
    };
    while !refused().await {
        assert!(started.elapsed() < PATIENCE, "not refused");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(fixture.record("web").await.annotations.run.expect("a directive").number, 1);
}
