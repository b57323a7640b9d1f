//! How fast hands change, many times over.
//!
//! `HANDOVERS` says how many; by hand a hundred or more.

use std::time::Duration;

use serde_json::json;
use testkit::job::{Job, SOON};
use testkit::observe::{await_tenure, read_records};
use testkit::scenario::with_operator;

/// What a run of all tests measures.
const HANDOVERS: usize = 20;
const MEDIAN: Duration = Duration::from_millis(100);
const NEARLY_ALL: Duration = Duration::from_millis(300);

fn handovers() -> usize {
    let set = std::env::var("HANDOVERS").ok();
    set.map_or(HANDOVERS, |number| {
        number.parse().unwrap_or_else(|_| panic!("HANDOVERS={number} is not a number"))
    })
}

/// Of sorted values, the one that all but one in a hundred do not exceed; of fewer than a hundred, all but
/// one: the worst says nothing of them.
fn nearly_all(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() - 1 - sorted.len().div_ceil(100)]
}

#[test]
fn hands_change_within_100_ms_mostly_and_within_300_ms_nearly_always() {
    with_operator("handovers", async |scenario| {
        let job = Job::service(scenario, "web").with(json!({"replicas": 4}));
        job.apply();
        let mut holder = await_tenure(&job.records, 1, SOON).await;
        for number in 2..=handovers() + 1 {
            job.until("a standby is ready", |job| {
                job.status.as_ref().and_then(|status| status.ready_standbys) >= Some(2)
            })
            .await;
            job.delete_pod(&holder.pod);
            holder = await_tenure(&job.records, number, SOON).await;
        }
        let tenures = read_records(&job.records).tenures();
        let mut gaps: Vec<_> =
            tenures.windows(2).map(|pair| pair[1].first.saturating_sub(pair[0].last)).collect();
        gaps.sort_unstable();
        scenario.at_most("last to first instruction, median", gaps[gaps.len() / 2], MEDIAN);
        scenario.at_most("last to first instruction, p99", nearly_all(&gaps), NEARLY_ALL);
        scenario.noted("last to first instruction, worst", gaps[gaps.len() - 1]);
    });
}
