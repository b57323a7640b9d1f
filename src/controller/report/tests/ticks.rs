//! What events say of ticks that find another run, and of a schedule that has run nothing yet.

use super::scheduled::{annotations, happened, hourly, progress, with};
use super::*;

const EVERY_FIVE_MINUTES: &str = "*/5 * * * *";
const LAST_TICK: &str = "2026-01-01T14:05:00Z";

/// At 14:10, when run 1 is the one of 14:00 and another tick has come.
fn overlapping(policy: &str, run: Value) -> (SingletonJobStatus, Vec<events::Event>) {
    let job = hourly(
        json!({"schedule": {"cron": EVERY_FIVE_MINUTES, "concurrencyPolicy": policy}}),
        &SingletonJobStatus::default(),
    );
    let mut all = with(annotations(1, LAST_TICK, 0), run);
    all["ticks"]["schedule"] = json!(format!("{EVERY_FIVE_MINUTES} UTC"));
    happened(&job, seen(Some("web-2_u2_0"), all, 1), vec![pod(2, true, None)])
}

fn missed(told: &[events::Event]) -> Vec<&str> {
    told.iter().filter(|event| event.reason == "RunMissed").map(|event| event.note.as_str()).collect()
}

#[test]
fn a_tick_that_finds_a_run_says_whether_that_had_begun() {
    let forbid = "and spec.schedule.concurrencyPolicy is Forbid";
    let tick = "1 tick was missed, that of 2026-01-01T14:10:00Z: run 1 was";
    let (status, told) = overlapping("Forbid", json!({}));
    assert_eq!(
        (status.missed_runs, missed(&told)),
        (Some(1), vec![format!("{tick} still waiting to start, {forbid}").as_str()])
    );
    let (_, told) = overlapping("Forbid", progress(1));
    assert_eq!(missed(&told), [format!("{tick} going on, {forbid}")]);
}

#[test]
fn a_run_that_waits_for_the_one_it_replaces_says_that_it_is_being_stopped() {
    let (status, told) = overlapping("Replace", progress(1));
    let ready = find_condition(&status.conditions, types::READY).expect("there");
    let waits =
        "run 2 of 2026-01-01T14:10:00Z waits until the holder has stopped run 1; held by web-2 on node-a";
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", reasons::RUNNING));
    assert!(ready.message.starts_with(waits), "{}", ready.message);
    assert_eq!(missed(&told), [""; 0]);
}

#[test]
fn a_schedule_that_has_missed_all_its_ticks_has_not_succeeded() {
    let last_run = |missed: u64| {
        let (status, _) = happened(
            &hourly(json!({}), &SingletonJobStatus::default()),
            seen(None, annotations(0, "2026-01-01T14:00:00Z", missed), 1),
            vec![],
        );
        let condition = find_condition(&status.conditions, types::LAST_RUN_SUCCEEDED).expect("there");
        (condition.status.clone(), condition.reason.clone(), condition.message.clone())
    };
    let says = |status: &str, reason: &str, message: &str| {
        (status.to_owned(), reason.to_owned(), message.to_owned())
    };
    assert_eq!(last_run(0), says("Unknown", reasons::NO_RUN, "no run has ended yet"));
    assert_eq!(
        last_run(1),
        says("False", reasons::TICK_MISSED, "no run has ended yet, and 1 tick was missed")
    );
    assert_eq!(
        last_run(3),
        says("False", reasons::TICK_MISSED, "no run has ended yet, and 3 ticks were missed")
    );
}
