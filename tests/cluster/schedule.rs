//! A schedule on a real cluster: on the second, with the configuration of the day, and one run at a time.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use singletonjob::api::SingletonJob;
use singletonjob::api::conditions::{reasons, types};
use singletonjob::api::status::{FinishedRun, RunOutcome};
use testkit::job::{Job, SOON};
use testkit::observe::{await_tenure, boot_time, nothing_starts};
use testkit::scenario::{Scenario, aside, side_by_side};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// For the candidates of the first tick to be ready: with less, it is the next one that is waited for.
const LEAD: i64 = 25;
/// Never while a scenario plays, unless that is on New Year's Eve.
const SELDOM: &str = "0 0 1 1 *";

fn runs(job: &SingletonJob) -> &[FinishedRun] {
    job.status.as_ref().map(|status| status.runs.as_slice()).unwrap_or_default()
}

/// Waits until the next full minute is far enough away.
async fn await_room() {
    let second = Timestamp::now().as_second().rem_euclid(60);
    if second > 60 - LEAD {
        sleep(Duration::from_secs(u64::try_from(61 - second).unwrap_or(1))).await;
    }
}

fn configure(scenario: &Scenario, day: &str) {
    scenario.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "day"}, "data": {"label": day}}).to_string());
}

#[test]
fn with_candidates_ready_each_tick_starts_within_a_second() {
    aside("schedule", async |scenario| {
        configure(scenario, "monday");
        let label = json!({"configMapKeyRef": {"name": "day", "key": "label"}});
        let env = json!([{"name": "WITNESS_LABEL", "valueFrom": label}, {"name": "WITNESS_PAUSE_MICROSECONDS", "value": "400"}]);
        let job = Job::one_shot(scenario, "nightly").with(json!({"schedule": {"cron": "* * * * *"}}));
        let job = job.container(json!({"env": env})).witness(&["--seconds", "5"]);
        await_room().await;
        job.apply();
        let first = await_tenure(&job.records, 1, MINUTE + SOON).await;
        configure(scenario, "tuesday");
        let second = await_tenure(&job.records, 2, MINUTE + SOON).await;
        assert_eq!(
            (first.run, first.label.as_str(), second.run, second.label.as_str()),
            (1, "monday", 2, "tuesday")
        );
        let ended = |job: &SingletonJob| {
            runs(job).len() == 2 && runs(job).iter().all(|run| run.outcome == RunOutcome::Succeeded)
        };
        let done = job.until("both have succeeded", ended).await;
        for (run, tenure) in runs(&done).iter().zip([&second, &first]) {
            let tick = run.scheduled_time.as_ref().expect("a tick").0;
            let late = tenure.first.checked_sub(boot_time(tick)).expect("not before its tick");
            scenario.at_most("from a tick to the workload's first instruction", late, SECOND);
        }
        let status = done.status.clone().expect("a status");
        assert_eq!((status.missed_runs, status.succeeded_runs), (Some(0), Some(2)));
        assert_eq!(job.await_true(types::READY).await.reason, reasons::SCHEDULED);
        assert_eq!(job.await_true(types::LAST_RUN_SUCCEEDED).await.reason, "Completed");
    });
}

/// A job that runs on request only, until it is let end.
fn on_request<'a>(scenario: &'a Scenario, name: &'static str, policy: &str) -> Job<'a> {
    let schedule: Value = json!({"schedule": {"cron": SELDOM, "concurrencyPolicy": policy}});
    let job = Job::one_shot(scenario, name).with(schedule).witness(&["--until", "end"]);
    job.apply();
    job
}

async fn ask(scenario: &Scenario, job: &Job<'_>, text: &str) {
    job.until("the controller has looked", |job| {
        job.status.as_ref().is_some_and(|status| status.observed_generation.is_some())
    })
    .await;
    scenario.must(&[
        "annotate",
        &format!("sj/{}", job.name),
        "--overwrite",
        &format!("singletonjob.dev/run-requested-at={text}"),
    ]);
}

async fn until_runs(job: &Job<'_>, outcomes: &[RunOutcome]) {
    let told = |job: &SingletonJob| runs(job).iter().map(|run| run.outcome).eq(outcomes.iter().copied());
    job.until(&format!("its runs, newest first, are {outcomes:?}"), told).await;
}

#[test]
fn a_run_on_request_is_refused_replaces_or_waits_and_none_overlap() {
    side_by_side("on-demand", async |scenario| {
        let forbid = on_request(scenario, "forbid", "Forbid");
        ask(scenario, &forbid, "one").await;
        await_tenure(&forbid.records, 1, SOON).await;
        ask(scenario, &forbid, "two").await;
        forbid.await_event("RunRequestRefused", "run 1 is going on").await;
        forbid.let_end();
        until_runs(&forbid, &[RunOutcome::Succeeded]).await;
        ask(scenario, &forbid, "three").await;
        assert_eq!(await_tenure(&forbid.records, 2, SOON).await.run, 2);
        until_runs(&forbid, &[RunOutcome::Succeeded, RunOutcome::Succeeded]).await;

        let replace = on_request(scenario, "replace", "Replace");
        ask(scenario, &replace, "one").await;
        let first = await_tenure(&replace.records, 1, SOON).await;
        ask(scenario, &replace, "two").await;
        let second = await_tenure(&replace.records, 2, SOON).await;
        let signals: Vec<_> = replace.tenure(first.token).signals.iter().map(|(signal, _)| *signal).collect();
        assert_eq!((second.run, second.attempt, signals), (2, 1, vec![15]));
        replace.let_end();
        until_runs(&replace, &[RunOutcome::Succeeded, RunOutcome::Replaced]).await;

        let enqueue = on_request(scenario, "enqueue", "Enqueue");
        ask(scenario, &enqueue, "one").await;
        await_tenure(&enqueue.records, 1, SOON).await;
        ask(scenario, &enqueue, "two").await;
        nothing_starts(&enqueue.records, 1, SECOND * 3).await;
        enqueue.let_end();
        assert_eq!(await_tenure(&enqueue.records, 2, SOON).await.run, 2);
        until_runs(&enqueue, &[RunOutcome::Succeeded, RunOutcome::Succeeded]).await;
        for job in [&forbid, &replace, &enqueue] {
            nothing_starts(&job.records, 2, SECOND).await;
        }
    });
}
